import { Type } from 'typebox'
import { success } from '../../http/envelope.ts'
import { errorResponses, successResponse } from '../../http/responses.ts'
import type { App } from '../../http/server.ts'
import { acceptStreamedBody, readBody } from '../../http/streamed-body.ts'
import { compileCheck } from '../../http/validation.ts'
import { importData, importLimitBytes } from '../import.ts'
import { UserParams } from '../schema.ts'
import { exampleLines, ImportHeaders, ImportLineSchema, ImportQuery } from '../transfer-schema.ts'
import type { TransferSlots } from '../transfer-slots.ts'
import { ndjson, type TaskRouteDependencies } from './shared.ts'

const count = (description: string) => Type.Integer({ minimum: 0, description })

const ImportReportSchema = Type.Object({
  dry_run: Type.Boolean({ description: 'Nothing was written.' }),
  lines: count('Tasks in the body; empty lines are none.'),
  created: count('Lines whose task was not there.'),
  updated: count('Lines whose task was there and differed.'),
  unchanged: count('Lines whose task was there already, just as the line has it.'),
})

const description = `Each line is an \`ImportLine\`. All lines are taken, or none. A line without \`id\` makes a new task; a task that is
there, in the list or in the trash, becomes as its line is, when it differs. Of two lines with one id the later
counts. The same import again changes nothing. An error has the number of the \`line\`, from 1, in each detail.`

export function registerImportData(
  app: App,
  { database, slots }: TaskRouteDependencies & { readonly slots: TransferSlots },
): void {
  const check = compileCheck(ImportLineSchema)
  // A context of its own, so that no other route takes this type, and this one no other.
  app.register(async (own: App) => {
    acceptStreamedBody(own, ndjson, importLimitBytes)
    own.route({
      method: 'POST',
      url: '/api/:user_id/import',
      schema: {
        operationId: 'importData',
        tags: ['Data'],
        summary: 'Import tasks',
        description,
        consumes: [ndjson],
        params: UserParams,
        querystring: ImportQuery,
        headers: ImportHeaders,
        body: Type.String({ description: 'NDJSON in UTF-8, up to 64 MiB.', examples: [exampleLines] }),
        'x-optional-body': true,
        response: {
          200: successResponse({
            description: 'What it did, or with `dry_run` would do.',
            data: ImportReportSchema,
            example: { dry_run: false, lines: 2, created: 1, updated: 0, unchanged: 1 },
          }),
          ...errorResponses('BODY_TOO_LARGE', 'UNSUPPORTED_MEDIA_TYPE'),
        },
      },
      async handler(request) {
        // By then the upload is here, and few at a time go to the database (transfer-slots.ts).
        const report = await importData(database.scopeFor(request.userId, 'service'), {
          body: readBody(request),
          check,
          dryRun: request.query.dry_run ?? false,
          slots,
        })
        return success(request, report)
      },
    })
  })
}
