import { execFileSync } from 'node:child_process'
import { readdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { root } from '../support/imports.ts'
import { temporaryFolder } from '../support/process.ts'

const own = readdirSync(join(root, 'migrations'))

function git(...args: readonly string[]): Buffer {
  return execFileSync('git', args, { cwd: root, stdio: ['ignore', 'pipe', 'ignore'], maxBuffer: 2 ** 28 })
}

/**
 * The version of the service that a rollout of the newest migration replaces: the last commit on the main line of the
 * history that lacks a migration which is there now.
 *
 * @returns the commit and how many migrations it lacks, or why there is none to be had
 */
export function findPreviousVersion(): { commit: string; lacking: number } | { reason: string } {
  try {
    const line = git('rev-list', '--first-parent', '--max-count=1000', 'HEAD').toString().trim().split('\n')
    const commits = process.env.PREVIOUS_COMMIT === undefined ? line : [process.env.PREVIOUS_COMMIT]
    for (const commit of commits) {
      const names = git('ls-tree', '--name-only', `${commit}:migrations`).toString().trim().split('\n')
      const lacking = own.filter((name) => !names.includes(name)).length
      if (lacking > 0) return { commit, lacking }
    }
    return { reason: 'no commit at hand lacks a migration' }
  } catch {
    return { reason: 'there is no history: no git, or not all of it was fetched' }
  }
}

/** Puts the sources of a commit into a folder, beside the packages that are installed here. */
export function unpack(commit: string): string {
  const folder = temporaryFolder()
  execFileSync('tar', ['-x', '-C', folder], {
    input: git('archive', commit, 'src', 'migrations', 'package.json'),
  })
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  return folder
}
