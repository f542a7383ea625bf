import fastifySwagger from '@fastify/swagger'
import fastifySwaggerUi from '@fastify/swagger-ui'
import { sharedSchemas } from './responses.ts'
import type { App } from './server.ts'

const description = `Tasks of many users: each has their own, nobody sees anyone else's.

Every answer has one of two shapes: \`{"status":"success","data":…,"meta":…}\` or
\`{"status":"error","error":{"code","message","details"},"meta":…}\`. \`meta.request_id\` names the request in the
service's log. Names are snake_case, times RFC 3339 in UTC with milliseconds.

Send the user's token as \`Authorization: Bearer <JWT>\`. In paths, \`me\` stands for the token's user.`

/**
 * Publishes the OpenAPI 3.1 document of the routes registered after it, at /openapi.json, and a page to browse it and
 * try it out, at /docs, whose parts are all served from here.
 */
export async function registerOpenApi(app: App): Promise<void> {
  for (const schema of sharedSchemas) app.addSchema(schema)
  await app.register(fastifySwagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'backend-core', version: '1', description, license: { name: 'MIT', identifier: 'MIT' } },
      tags: [
        { name: 'Tasks', description: "The user's own tasks." },
        { name: 'Changes', description: 'What has changed, as pages and as a live stream.' },
        { name: 'Trash', description: 'Tasks that were deleted, until they are removed for good.' },
        { name: 'Data', description: "All of the user's data: out, in, away." },
        { name: 'Service', description: 'For operators and tools.' },
      ],
      components: { securitySchemes: { bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' } } },
      security: [{ bearer: [] }],
    },
    transformObject(input) {
      if (!('openapiObject' in input)) return input.swaggerObject
      describeBodies(input.openapiObject.paths ?? {})
      return input.openapiObject
    },
    refResolver: {
      buildLocalReference: (json, _base, _fragment, index) => String(json.$id ?? `schema-${index}`),
    },
  })
  await app.register(fastifySwaggerUi, {
    routePrefix: '/docs',
    theme: { title: 'backend-core' },
    // No top bar, and no validator elsewhere on the web.
    uiConfig: { layout: 'BaseLayout', validatorUrl: null, displayRequestDuration: true },
  })
  app.route({
    method: 'GET',
    url: '/openapi.json',
    schema: { hide: true },
    handler: async (_request, reply) => reply.send(app.swagger()),
  })
}

/**
 * What a route says of its body beyond its schema. The plugin takes every body for required: x-optional-body says
 * otherwise. x-items is the form of a list's items where the route checks them itself.
 */
function describeBodies(paths: object): void {
  for (const operations of Object.values(paths)) {
    for (const operation of Object.values(operations)) {
      if (!isRecord(operation) || !isRecord(operation.requestBody)) continue
      if (operation['x-optional-body'] === true) {
        delete operation['x-optional-body']
        operation.requestBody.required = false
      }
      describeItems(operation.requestBody)
    }
  }
}

function describeItems(value: unknown): void {
  if (!isRecord(value)) return
  if (isRecord(value['x-items'])) {
    value.items = value['x-items']
    delete value['x-items']
  }
  for (const member of Object.values(value)) describeItems(member)
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
