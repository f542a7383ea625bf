import type { FastifyInstance } from 'fastify'
import findMyWay, { type HTTPMethod } from 'find-my-way'
import { AppError } from '../errors.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Every route of the server, one a method and path pattern, HEAD included. */
    readonly registeredRoutes: readonly { readonly method: string; readonly url: string }[]
  }
}

/** Tells for an unmatched request whether its path exists under other methods. */
export type MethodTable = {
  /** METHOD_NOT_ALLOWED with Allow where the path has other methods, else ROUTE_NOT_FOUND. */
  refusalFor(url: string): AppError
}

/**
 * Keeps the methods of every path that is registered from here on, in a router of the same kind as Fastify's, so that
 * both agree on which path matches what (Fastify's own answers 404 for a wrong method).
 */
export function trackMethods(app: FastifyInstance, maxParamLength: number): MethodTable {
  const router = findMyWay({ maxParamLength })
  const methodsOf = new Map<string, Set<string>>()
  app.addHook('onRoute', ({ url, method }) => {
    let methods = methodsOf.get(url)
    if (methods === undefined) {
      methods = new Set()
      methodsOf.set(url, methods)
      router.on(lookupMethod, url, () => {}, methods)
    }
    for (const each of [method].flat()) methods.add(each)
  })
  app.decorate('registeredRoutes', {
    getter: () =>
      Array.from(methodsOf, ([url, methods]) => Array.from(methods, (method) => ({ method, url }))).flat(),
  })
  return {
    refusalFor(url) {
      const found: unknown = router.find(lookupMethod, url.split('?', 1)[0] ?? url)?.store
      if (!(found instanceof Set)) return new AppError('ROUTE_NOT_FOUND')
      return new AppError('METHOD_NOT_ALLOWED', { headers: { allow: [...found].sort().join(', ') } })
    },
  }
}

/** The one method that all paths have in this router. */
const lookupMethod: HTTPMethod = 'GET'
