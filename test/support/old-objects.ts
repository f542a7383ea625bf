// Loaded into a service before its own code, with --expose-gc. On SIGUSR2 it says how many bytes of objects are there that
// only a full collection would free, and then makes one.

import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8'

// As in the start script; NODE_OPTIONS does not take it.
setFlagsFromString('--no-allocation-site-pretenuring')

process.on('SIGUSR2', () => {
  const before = oldBytes()
  globalThis.gc?.()
  process.stdout.write(`{"old_bytes":${before},"of_these_alive":${oldBytes()}}\n`)
})

function oldBytes(): number {
  const old = getHeapSpaceStatistics().filter(({ space_name }) =>
    /^(?:old|large_object)_space$/.test(space_name),
  )
  return old.reduce((sum, { space_used_size }) => sum + space_used_size, 0)
}
