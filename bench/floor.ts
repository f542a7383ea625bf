import { createServer, type IncomingMessage } from 'node:http'
import pg from 'pg'
import { operationOf } from './operations.ts'
import { floorConnection } from './pool.ts'
import { serveJobs } from './worker.ts'

// The least that a service in Node can do and still answer: the same statements over the same driver and as many
// connections, and JSON of the same shape. No token, no checks, no walls, no log. What the service does beyond this is what
// the benchmark tells.

export type FloorJob = { readonly connectionString: string; readonly poolMax: number }

function bodyOf(request: IncomingMessage): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = ''
    request.setEncoding('utf8')
    request.on('data', (chunk) => {
      text += chunk
    })
    request.on('end', () => resolve(text))
    request.on('error', reject)
  })
}

async function listen({ connectionString, poolMax }: FloorJob): Promise<string> {
  const pool = new pg.Pool({ ...floorConnection(connectionString), max: poolMax })
  const meta = { timestamp: new Date().toISOString(), request_id: '019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6073' }
  const answer = async (request: IncomingMessage): Promise<{ status: number; text: string }> => {
    const [, name, userId = '', task = '', counter = ''] = (request.url ?? '').split('/')
    const body = request.method === 'GET' ? undefined : await bodyOf(request)
    const operation = operationOf(name)
    const { rows } = await pool.query<(string | null)[]>({
      ...operation.query({ userId, task, counter, body }),
      rowMode: 'array',
    })
    const { status, data } = operation.answer(rows)
    return { status, text: status === 304 ? '' : JSON.stringify({ status: 'success', data, meta }) }
  }
  const server = createServer((request, response) => {
    answer(request).then(
      ({ status, text }) => {
        const headers = { 'content-type': 'application/json; charset=utf-8', etag: '"1"' }
        response.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(text) }).end(text)
      },
      (error: unknown) => {
        process.stderr.write(`The floor failed: ${error}\n`)
        response.writeHead(500).end()
      },
    )
  })
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('The floor does not listen')
  return `http://127.0.0.1:${address.port}`
}

serveJobs(listen)
