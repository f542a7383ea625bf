// Preloaded into a service by NODE_OPTIONS: its workers end as they begin.

if (process.argv.includes('--worker')) process.exit(3)
