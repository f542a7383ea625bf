import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { passwordQuota } from '../../src/accounts/limits.ts'
import { startupMessage } from '../../src/ops/startup-message.ts'
import { startAccounts } from './service.ts'

const hasCurl = spawnSync('curl', ['--version']).status === 0

/** Runs what is pasted into a shell, as one piece. */
function paste(
  shell: string,
  commands: string,
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawn(shell, ['-e'], { stdio: ['pipe', 'pipe', 'pipe'] })
  const output = { stdout: '', stderr: '' }
  child.stdout.on('data', (chunk: Buffer) => {
    output.stdout += chunk
  })
  child.stderr.on('data', (chunk: Buffer) => {
    output.stderr += chunk
  })
  child.stdin.end(commands)
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, ...output })))
}

test('the commands of the start-up message work when pasted, again too, and answer the task alone', {
  skip: !hasCurl && 'curl is not installed',
}, async () => {
  const service = await startAccounts({ passwordQuota })
  const facts = { address: service.url, readyInMs: 1, database: 'x', firstRequest: 'account' } as const
  const [, commands = ''] = startupMessage(facts).split('in another terminal:\n')
  assert.match(commands, /^ {2}curl /m)
  const users = new Set<string>()
  for (const shell of ['sh', 'bash'].filter((each) => spawnSync(each, ['-c', 'true']).status === 0)) {
    const { code, stdout, stderr } = await paste(shell, commands)
    assert.deepEqual([code, stderr], [0, ''])
    const { status, data } = JSON.parse(stdout)
    assert.deepEqual([status, data.title], ['success', 'Buy milk'])
    users.add(data.user_id)
  }
  assert.equal(users.size, 1, 'the second time it is the same account')
})
