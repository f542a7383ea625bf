// Preloaded by every npm script, and written for any Node: an old one would stop at the first .ts file with
// ERR_UNKNOWN_FILE_EXTENSION, which says nothing about what to do.
if (Number(process.versions.node.split('.')[0]) < 24) {
  process.stderr.write(
    'backend-core needs Node 24 or later, and this is ' +
      process.version +
      '. Run "npm ci" (it installs Node 24 for this project, beside yours), then "npm start".\n',
  )
  process.exit(1)
}

// What Node makes of the source, types taken out, is kept for the next start, which then needs neither the time nor the
// memory for it. It lies beside the code itself, where nobody may write who may not write that. Without leave to write there,
// all goes on without. Coverage would be less exact with it.
if (process.env.NODE_V8_COVERAGE === undefined)
  require('node:module').enableCompileCache(
    require('node:path').join(__dirname, 'node_modules', '.cache', 'backend-core'),
  )
