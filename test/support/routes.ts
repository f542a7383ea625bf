import type { App } from '../../src/http/server.ts'

/**
 * Every route that the router of an app holds, as `METHOD /path`, sorted: those that plugins registered and those that
 * the OpenAPI document leaves out are among them.
 */
export function registeredRoutes(app: App): string[] {
  return app.registeredRoutes.map(({ method, url }) => `${method} ${url}`).sort()
}

/** Every operation of the OpenAPI document of an app, as `METHOD /path`, with the router's form of parameters. */
export function documentedRoutes(app: App): string[] {
  return Object.entries(app.swagger().paths ?? {})
    .flatMap(([path, operations]) =>
      Object.keys(operations ?? {}).map(
        (method) => `${method.toUpperCase()} ${path.replaceAll(/\{(\w+)\}/g, ':$1')}`,
      ),
    )
    .sort()
}
