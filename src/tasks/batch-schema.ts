import { Type } from 'typebox'
import { errorCatalogue } from '../errors.ts'
import { exampleTask, TaskCreateSchema, TaskUpdateSchema, taskIdForm } from './schema.ts'

/** Most operations of one batch. */
const maxOperations = 100

/** A string that is one of a few. */
function oneOf<const Value extends string>(values: readonly Value[], description: string) {
  return Type.Unsafe<Value>({ type: 'string', enum: [...values], description })
}

const ifVersion = Type.Optional(
  Type.Integer({
    minimum: 1,
    maximum: Number.MAX_SAFE_INTEGER,
    description: 'Do it only if the task is at this version, as If-Match does.',
  }),
)

const id = Type.String({ ...taskIdForm, description: 'The id of the task.' })

/** Each operation, by its `op`. */
export const batchOperationSchemas = {
  create: Type.Object(
    { op: oneOf(['create'], 'As createTask.'), task: TaskCreateSchema },
    { additionalProperties: false },
  ),
  update: Type.Object(
    { op: oneOf(['update'], 'As updateTask.'), id, changes: TaskUpdateSchema, if_version: ifVersion },
    { additionalProperties: false },
  ),
  delete: Type.Object(
    { op: oneOf(['delete'], 'As deleteTask.'), id, if_version: ifVersion },
    { additionalProperties: false },
  ),
}

const example = [
  { op: 'create', task: { title: 'Buy milk' } },
  { op: 'update', id: exampleTask.id, changes: { completed: true }, if_version: 7 },
  { op: 'delete', id: '019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6073' },
]

/** What an operation must have before its own schema can be told. */
export const BatchOpSchema = Type.Object({ op: oneOf(['create', 'update', 'delete'], '') })

/**
 * A batch: the whole of it but the form of each operation, which the route checks, since an invalid one fails only its
 * own item where the operations are independent.
 */
export const BatchSchema = Type.Object(
  {
    mode: Type.Optional(
      oneOf(
        ['atomic', 'independent'],
        'atomic (when left out): all or nothing. independent: each succeeds or fails by itself.',
      ),
    ),
    operations: Type.Array(Type.Unknown(), {
      minItems: 1,
      maxItems: maxOperations,
      'x-items': { oneOf: Object.values(batchOperationSchemas) },
      description: `1 to ${maxOperations} operations, made in this order.`,
    }),
  },
  {
    additionalProperties: false,
    'x-examples': {
      atomic: { summary: 'All or nothing', value: { operations: example } },
      independent: {
        summary: 'Each by itself',
        value: { mode: 'independent', operations: example },
      },
    },
  },
)

const itemError = Type.Object({
  code: Type.String(),
  message: Type.String(),
  details: Type.Array(Type.Object({}, { additionalProperties: true })),
})

/** What became of one operation. */
export const BatchItemSchema = Type.Object(
  {
    index: Type.Integer({ minimum: 0, description: 'The place of the operation in the batch, from 0.' }),
    status: Type.Integer({
      description: 'What the single operation would answer: 200, 201, 404, 409, 412, 422.',
    }),
    task: Type.Optional(Type.Ref('Task#')),
    error: Type.Optional(itemError),
  },
  { additionalProperties: false, description: 'It has a task, or an error as in the envelope.' },
)

const currentTask = { ...exampleTask, title: 'Buy oat milk', version: 8 }

/** An answer to the example of a request. */
export const exampleItems = [
  { index: 0, status: 201, task: { ...exampleTask, version: 9 } },
  {
    index: 1,
    status: 412,
    error: {
      code: 'PRECONDITION_FAILED',
      message: errorCatalogue.PRECONDITION_FAILED.title,
      details: [
        {
          path: '/operations/1/if_version',
          code: 'mismatch',
          message: 'the task is at version 8',
          current: currentTask,
        },
      ],
    },
  },
  {
    index: 2,
    status: 404,
    error: { code: 'TASK_NOT_FOUND', message: errorCatalogue.TASK_NOT_FOUND.title, details: [] },
  },
]
