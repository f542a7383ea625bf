/** Percentiles, in milliseconds. */
export type Latencies = { readonly p50Ms: number; readonly p99Ms: number; readonly p999Ms: number }

export function percentilesOf(latenciesMs: readonly number[]): Latencies {
  const sorted = Float64Array.from(latenciesMs).sort()
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0
  return { p50Ms: at(0.5), p99Ms: at(0.99), p999Ms: at(0.999) }
}
