import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http'
import { after } from 'node:test'
import type { Signer } from './signers.ts'

/** An issuer that does what a test tells it to. */
export type FakeIssuer = {
  readonly url: string
  /** The keys that it publishes; a test may change them. */
  signers: readonly Signer[]
  /** How it answers; by default with its keys. */
  answer: (response: ServerResponse, request: IncomingMessage) => void
  readonly requests: IncomingMessage[]
  /** Answers with the keys as they are now. */
  publish(response: ServerResponse): void
  /** Nothing listens on its port any longer, and its connections are cut. */
  goAway(): Promise<void>
  comeBack(): Promise<void>
}

/** Starts one on a free port of this machine; it ends with the test file. */
export async function startFakeIssuer(...signers: readonly Signer[]): Promise<FakeIssuer> {
  let server = await listen(0, handle)
  const address = server.address()
  if (typeof address !== 'object' || address === null) throw new Error('it does not listen')
  const { port } = address
  const issuer: FakeIssuer = {
    url: `http://127.0.0.1:${port}/api/auth/jwks`,
    signers,
    answer: (response) => issuer.publish(response),
    requests: [],
    publish(response) {
      const body = JSON.stringify({ keys: issuer.signers.map(({ jwk }) => jwk) })
      response.writeHead(200, { 'content-type': 'application/json' }).end(body)
    },
    goAway: () => close(server),
    async comeBack() {
      server = await listen(port, handle)
    },
  }
  after(() => close(server))
  return issuer

  function handle(request: IncomingMessage, response: ServerResponse): void {
    issuer.requests.push(request)
    issuer.answer(response, request)
  }
}

function listen(port: number, handle: RequestListener): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer(handle)
    server.once('error', reject)
    server.listen(port, '127.0.0.1', () => resolve(server))
  })
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
}
