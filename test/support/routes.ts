import type { App } from '../../src/http/server.ts'

/** The marker before a name in the tree that Fastify prints: four columns a level. */
const branch = /^((?:│ {3}| {4})*)(?:├── |└── )(.*)$/

/** A leaf's name: its part of the path and the methods registered there. */
const leaf = /^(.*) \(([A-Z, ]+)\)$/

/**
 * Every route that the router of an app holds, as `METHOD /path`, sorted: those that plugins registered and those that
 * the OpenAPI document leaves out are among them. The app must be ready.
 *
 * @throws Error when the printed tree has another form than the one read here
 */
export function registeredRoutes(app: App): string[] {
  const parents: string[] = []
  const routes = app
    .printRoutes()
    .split('\n')
    .filter((line) => line !== '')
    .flatMap((line) => {
      const [, indent, name] = branch.exec(line) ?? []
      if (indent === undefined || name === undefined)
        throw new Error(`The tree of routes has the line ${line}`)
      const [, part = name, methods = ''] = leaf.exec(name) ?? []
      const depth = indent.length / 4
      const path = `${parents[depth - 1] ?? ''}${part}`
      parents.splice(depth, Infinity, path)
      return methods
        .split(', ')
        .filter(Boolean)
        .map((method) => ({ method, path }))
    })
  for (const { method, path } of routes) {
    if (!app.hasRoute({ method, url: path }))
      throw new Error(`${method} ${path} was read where there is no route`)
  }
  return routes.map(({ method, path }) => `${method} ${path}`).sort()
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
