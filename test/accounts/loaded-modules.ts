import { writeFileSync } from 'node:fs'
import { registerHooks } from 'node:module'

// Preloaded into a service by NODE_OPTIONS: writes the addresses of all modules that it loaded, one a line, to the file
// that LOADED_MODULES names, when it ends.

const loaded = new Set<string>()
registerHooks({
  load(url, context, nextLoad) {
    loaded.add(url)
    return nextLoad(url, context)
  },
})
process.on('exit', () => writeFileSync(String(process.env.LOADED_MODULES), [...loaded].join('\n')))
