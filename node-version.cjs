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
