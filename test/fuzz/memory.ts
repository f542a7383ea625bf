import { signToken } from '../../src/cli/sign-token.ts'
import { testSecret } from '../support/app.ts'
import type { Random } from './random.ts'

/** A user of the run, and what the service has told them so far. */
export type Actor = {
  readonly userId: string
  readonly token: string
  readonly expiredToken: string
  /** Stands in every text of theirs, and so in no answer to anybody else. */
  readonly marker: string
  readonly ids: string[]
  /** Of tasks that they have deleted. */
  readonly deleted: string[]
  readonly etags: string[]
  readonly cursors: string[]
}

/** What is kept of each kind, at most: old things are used again too, but lists stay short. */
const mostKept = 60

export function createActor(userId: string, name: string): Actor {
  return {
    userId,
    token: signToken({ secret: testSecret, userId }),
    expiredToken: signToken({ secret: testSecret, userId, expiresInS: -3_600 }),
    marker: `secret-of-${name}`,
    ids: [],
    deleted: [],
    etags: [],
    cursors: [],
  }
}

/** Takes from an answer what later requests may use. */
export function remember(actor: Actor, text: string, etag: string | undefined, random: Random): void {
  for (const [, id] of text.matchAll(/"id":"([0-9a-f-]{36})"/g)) keep(actor.ids, id, random)
  for (const [, cursor] of text.matchAll(/"next_cursor":"([^"]+)"|^id: (.+)$/gm))
    keep(actor.cursors, cursor, random)
  keep(actor.etags, etag, random)
}

function keep(kept: string[], value: string | undefined, random: Random): void {
  if (value === undefined || kept.includes(value)) return
  if (kept.length < mostKept) kept.push(value)
  else kept[random.below(mostKept)] = value
}

/** The same for the answer to a deletion. */
export function rememberDeleted(actor: Actor, text: string, random: Random): void {
  keep(actor.deleted, /"id":"([0-9a-f-]{36})"/.exec(text)?.[1], random)
}
