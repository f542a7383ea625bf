import type { Result, ScenarioResult } from './result.ts'

// A chart of a result as SVG, for a page: requests a second of the three, side by side. It brings its own colours for a
// light and a dark page.

const width = 760
const left = 170
const right = 120
const top = 56
const bar = 11
const gap = 12
const subjects = ['service', 'floor', 'database'] as const
const group = subjects.length * bar + gap

const style = `
  text { font: 12px system-ui, sans-serif; fill: #24292f }
  .small { font-size: 10px }
  .title { font-size: 14px; font-weight: 600 }
  .service { fill: #0969da }
  .floor { fill: #8c959f }
  .database { fill: #d0d7de }
  .axis { stroke: #8c959f }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .service { fill: #4493f8 }
    .floor { fill: #7d8590 }
    .database { fill: #484f58 }
    .axis { stroke: #7d8590 }
  }
`.trim()

const escaped = (text: string) => text.replaceAll(/[<>&"]/g, (each) => `&#${each.charCodeAt(0)};`)

const whole = (value: number) => Math.round(value).toLocaleString('en')

export function chartOf({ scenarios }: Result): string {
  const most = Math.max(...scenarios.flatMap((each) => subjects.map((name) => each[name].perSecond.median)))
  const height = top + scenarios.length * group + 8
  const label = 'Requests a second of the service, of the floor and of the database alone'
  const keys = { service: 'the service', floor: 'the floor', database: 'the database alone' }
  const legend = subjects.map((name, at) => {
    const x = left + at * 130
    return `<rect class="${name}" x="${x}" y="30" width="11" height="11"/><text x="${x + 17}" y="40">${keys[name]}</text>`
  })
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-label="${label}">`,
    `<title>${label}</title>`,
    `<style>${style}</style>`,
    `<text class="title" x="${left}" y="18">Requests a second; more is better</text>`,
    ...legend,
    ...scenarios.map((scenario, at) => groupOf(scenario, top + at * group, (width - left - right) / most)),
    `<line class="axis" x1="${left}" y1="${top - 4}" x2="${left}" y2="${height - 8}"/>`,
    '</svg>',
  ].join('\n')}\n`
}

function groupOf(scenario: ScenarioResult, y: number, scale: number): string {
  const bars = subjects.map((name, at) => {
    const { median } = scenario[name].perSecond
    const length = Math.max(1, median * scale)
    const share =
      name === 'service' ? `, ${Math.round(scenario.ratios.perSecond.median * 100)} % of the floor` : ''
    return (
      `<rect class="${name}" x="${left}" y="${y + at * bar}" width="${length.toFixed(1)}" height="${bar - 1}"/>` +
      `<text class="small" x="${(left + length + 5).toFixed(1)}" y="${y + at * bar + 9}">${whole(median)}${share}</text>`
    )
  })
  const name = `<text x="${left - 8}" y="${y + bar * 1.5 + 4}" text-anchor="end">${escaped(scenario.title)}</text>`
  return [name, ...bars].join('\n')
}
