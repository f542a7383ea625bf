export type ServerSentEvent = { readonly id: string; readonly event: string; readonly data: string }

/**
 * Reads server-sent events (WHATWG HTML, 9.2.6) until the stream ends or is cut.
 *
 * @throws Error with the answer when it is no event stream
 */
export async function* readEvents(
  url: string,
  headers: Record<string, string>,
  signal: AbortSignal,
): AsyncGenerator<ServerSentEvent> {
  const response = await fetch(url, { headers, signal })
  const { status, body } = response
  if (status !== 200 || body === null) throw new Error(`No stream: ${status} ${await response.text()}`)
  let rest = ''
  let id = ''
  for await (const chunk of body.pipeThrough(new TextDecoderStream())) {
    const blocks = (rest + chunk).split('\n\n')
    rest = blocks.pop() ?? ''
    for (const block of blocks) {
      const fields = new Map(
        block
          .split('\n')
          .filter((line) => !line.startsWith(':'))
          .map((line): [string, string] => {
            const [, name = '', value = ''] = /^([^:]*):? ?(.*)$/.exec(line) ?? []
            return [name, value]
          }),
      )
      id = fields.get('id') ?? id
      const data = fields.get('data')
      if (data !== undefined) yield { id, event: fields.get('event') ?? 'message', data }
    }
  }
}
