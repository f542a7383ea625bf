import { Type } from 'typebox'
import {
  bodyErrors,
  errorResponses,
  idempotencyErrors,
  replayedHeader,
  successResponse,
} from '../../http/responses.ts'
import type { App } from '../../http/server.ts'
import { compileCheck } from '../../http/validation.ts'
import { answerOnce } from '../../idempotency/answer-once.ts'
import { IdempotencyHeaders } from '../../idempotency/schema.ts'
import { type BatchEntry, type BatchOperation, runBatch } from '../batch.ts'
import {
  BatchItemSchema,
  BatchOpSchema,
  BatchSchema,
  batchOperationSchemas,
  exampleItems,
} from '../batch-schema.ts'
import { NoQuery, UserParams } from '../schema.ts'
import type { TaskRouteDependencies } from './shared.ts'

const description = `Creates, updates and deletes tasks, in the order given, in one request and one transaction.

\`atomic\` (the default): the first operation that fails ends the batch, and nothing of it is written. The answer is that
failure's, with its place in \`details\`: \`"path":"/operations/1","index":1\`.

\`independent\`: each operation succeeds or fails by itself, an invalid one too, and the answer is 200 with the status and
the task, or the error, of each. Only \`mode\`, \`operations\` and their count fail the whole.`

export function registerBatchTasks(app: App, { database }: TaskRouteDependencies): void {
  app.route({
    method: 'POST',
    url: '/api/:user_id/tasks/batch',
    config: { idempotent: true },
    schema: {
      operationId: 'batchTasks',
      tags: ['Tasks'],
      summary: 'Create, update and delete up to 100 tasks',
      description,
      params: UserParams,
      querystring: NoQuery,
      headers: IdempotencyHeaders,
      body: BatchSchema,
      response: {
        200: successResponse({
          description: 'What became of each operation, in their order.',
          data: Type.Array(BatchItemSchema),
          example: exampleItems,
          headers: replayedHeader,
        }),
        ...errorResponses(
          ...bodyErrors,
          ...idempotencyErrors,
          'TASK_NOT_FOUND',
          'TASK_EXISTS',
          'PRECONDITION_FAILED',
        ),
      },
    },
    handler: (request, reply) =>
      answerOnce(database, request, reply, async (scope) => {
        const { mode = 'atomic', operations } = request.body
        return { status: 200, data: await runBatch(scope, mode, operations.map(readOperation)) }
      }),
  })
}

const checkOp = compileCheck(BatchOpSchema)

const checks = {
  create: compileCheck(batchOperationSchemas.create),
  update: compileCheck(batchOperationSchemas.update),
  delete: compileCheck(batchOperationSchemas.delete),
}

/** An operation as it was sent, its title trimmed, or all that is wrong with it; `index` is its place, from 0. */
function readOperation(value: unknown, index: number): BatchEntry {
  const pointer = `/operations/${index}`
  const problems = checkOp(value, pointer)
  if (problems.length > 0) return { op: 'invalid', problems }
  // It has one of the words as its op.
  const { op } = value as BatchOperation
  const found = checks[op](value, pointer)
  // Without a problem it has the form of that op's schema.
  return found.length > 0 ? { op: 'invalid', problems: found } : (value as BatchOperation)
}
