import type { Family, Sample } from './exposition.ts'

export type ProcessFamilies = { readonly process: string; readonly families: readonly Family[] }

/**
 * One set of families for several processes: what they counted is added up; of what is said of a process alone each sample
 * stays, with the process as the label `worker`.
 */
export function sumFamilies(parts: readonly ProcessFamilies[]): Family[] {
  const sums = new Map<string, { family: Family; samples: Map<string, Sample> }>()
  for (const { process, families } of parts) {
    for (const family of families) {
      const sum = sums.get(family.name) ?? { family, samples: new Map<string, Sample>() }
      sums.set(family.name, sum)
      for (const each of family.samples)
        addTo(sum.samples, family.perProcess ? ofProcess(each, process) : each)
    }
  }
  return Array.from(sums.values(), ({ family, samples }) => ({ ...family, samples: [...samples.values()] }))
}

/** What stays true of a process that has ended: what it has counted. */
export function withoutProcess(families: readonly Family[]): Family[] {
  return families.filter(({ type, perProcess }) => type !== 'gauge' && !perProcess)
}

function addTo(samples: Map<string, Sample>, sample: Sample): void {
  const key = JSON.stringify([sample.suffix, Object.entries(sample.labels ?? {})])
  const before = samples.get(key)
  samples.set(key, before === undefined ? sample : { ...sample, value: before.value + sample.value })
}

function ofProcess(sample: Sample, process: string): Sample {
  return { ...sample, labels: { worker: process, ...sample.labels } }
}
