import type { Input, OperationName } from './operations.ts'

/** A user as the processes of the benchmark know it. */
export type User = {
  readonly id: string
  readonly token: string
  /** Ids of some of the user's tasks. */
  readonly tasks: readonly string[]
  /** The number of the user's last change, when the round began. */
  readonly counter: number
}

export type Ask = { readonly operation: OperationName; readonly user: User; readonly input: Input }

export type Scenario = {
  readonly name: string
  readonly title: string
  /** What is asked for a user, over and over. */
  readonly steps: readonly Step[]
}

type Step = { readonly operation: OperationName; readonly body?: string }

const description = 'Two litres, the one with the blue cap, and look whether there is yoghurt too. '
  .repeat(2)
  .trim()
const newTask = JSON.stringify({ title: 'Buy milk on the way home', description })
const creates = Array.from({ length: 100 }, (_, at) => {
  return { op: 'create', task: { title: `Buy milk, and what is ${at} on the list`, description } }
})

/** How many tasks a batch makes. */
export const batchSize = creates.length

// A title must differ from the one before, or the update would have nothing to write.
const titles = ['Buy oat milk', 'Buy milk'].map((title) => JSON.stringify({ title }))

const mixed: readonly Step[] = [
  { operation: 'list-20' },
  { operation: 'get' },
  { operation: 'list-20' },
  { operation: 'create', body: newTask },
  { operation: 'get' },
  { operation: 'list-20' },
  { operation: 'get' },
  { operation: 'complete' },
  { operation: 'list-20' },
  { operation: 'get' },
]

export const scenarios: readonly Scenario[] = [
  { name: 'list-20', title: 'List 20 tasks', steps: [{ operation: 'list-20' }] },
  { name: 'list-100', title: 'List 100 tasks', steps: [{ operation: 'list-100' }] },
  { name: 'list-304', title: 'List, unchanged (304)', steps: [{ operation: 'list-304' }] },
  { name: 'get', title: 'Get a task', steps: [{ operation: 'get' }] },
  { name: 'changes', title: 'Changes, nothing new', steps: [{ operation: 'changes' }] },
  { name: 'create', title: 'Create a task', steps: [{ operation: 'create', body: newTask }] },
  {
    name: 'update',
    title: 'Update a task',
    steps: titles.map((body) => ({ operation: 'update', body })),
  },
  { name: 'complete', title: 'Complete or reopen', steps: [{ operation: 'complete' }] },
  { name: 'mixed', title: 'Mixed, 80 % reads', steps: mixed },
  {
    name: 'batch',
    title: `Batch of ${batchSize} creates`,
    steps: [{ operation: 'batch', body: JSON.stringify({ operations: creates }) }],
  },
]

export function scenarioOf(name: string): Scenario {
  const found = scenarios.find((each) => each.name === name)
  if (found === undefined)
    throw new Error(`There is no scenario ${name}: ${scenarios.map((each) => each.name).join(', ')}`)
  return found
}

/**
 * What each connection asks, in turns and again from the start: each has users of its own, so that no two of them wait
 * for the counter of one user (where there are as many users), and each begins at another step.
 */
export function asksOf(scenario: Scenario, users: readonly User[], connections: number): Ask[][] {
  return Array.from({ length: connections }, (_, connection) => {
    const own =
      users.length < connections
        ? users.slice(connection % users.length).slice(0, 1)
        : users.filter((_, index) => index % connections === connection)
    const asks = scenario.steps.flatMap((step) => own.map((user, index) => toAsk(step, user, index)))
    const start = (connection * 7) % Math.max(asks.length, 1)
    return [...asks.slice(start), ...asks.slice(0, start)]
  })
}

function toAsk({ operation, body }: Step, user: User, at: number): Ask {
  const task = user.tasks[at % user.tasks.length]
  if (task === undefined) throw new Error(`${user.id} has no task`)
  return { operation, user, input: { userId: user.id, task, counter: String(user.counter), body } }
}
