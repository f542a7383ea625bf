import { randomBytes } from 'node:crypto'
import { chmod, mkdir, readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { unlessMissing } from './error.ts'
import type { EmitEvent } from './event.ts'
import { isAlive } from './postmaster.ts'

/** A name beside the final one, under which a folder is made before it is renamed. */
export type TemporaryName = {
  readonly path: string
  /** Says that the folder is renamed or removed, and so no longer in work. */
  release(): void
}

/** The folders this process is making: their pid alone would not tell them from those of a former process. */
const inWork = new Set<string>()

/** Nothing that makes a folder here takes this long, so an older one is left over even if its pid is in use again. */
const longestWorkMs = 10 * 60_000

/**
 * Reserves a temporary name beside a final one, in the same folder and so on the same file system. It carries the pid,
 * by which a later start tells a folder in work from one that an interrupted start has left.
 * @param finalPath absolute path of the folder to be; its name begins with "postgres"
 */
export function temporaryName(finalPath: string): TemporaryName {
  const path = `${finalPath}.new-${process.pid}-${randomBytes(4).toString('hex')}`
  inWork.add(path)
  return { path, release: () => void inWork.delete(path) }
}

/**
 * Removes the temporary folders of processes that no longer run.
 * @param parent absolute path of the folder they are in
 */
export async function removeLeftovers(parent: string, emit: EmitEvent): Promise<void> {
  for (const name of await readdir(parent)) {
    const pid = Number(/^postgres.*\.new-(\d+)-[0-9a-f]{8}$/.exec(name)?.[1])
    const path = join(parent, name)
    if (Number.isNaN(pid) || inWork.has(path)) continue
    if (pid !== process.pid && isAlive(pid) && Date.now() - (await changedAtMs(path)) < longestWorkMs)
      continue
    // initdb may outlive the process that ran it for a moment, and still write.
    await rm(path, { recursive: true, force: true, maxRetries: 5 })
    emit({ type: 'leftover-removed', directory: path })
  }
}

async function changedAtMs(path: string): Promise<number> {
  const found = await unlessMissing(stat(path))
  return found?.ctimeMs ?? 0
}

/**
 * Makes the folder that holds what the server's user cannot reach elsewhere. Its mode lets others pass through it, but
 * not list it.
 */
export async function makeSystemDir(systemDir: string): Promise<void> {
  // The umask may have taken away what the mode grants.
  if ((await mkdir(systemDir, { recursive: true })) !== undefined) await chmod(systemDir, 0o711)
}
