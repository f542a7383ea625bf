/** A task as the API shows it; times are RFC 3339 in UTC with milliseconds. */
export type Task = {
  readonly id: string
  readonly user_id: string
  readonly title: string
  readonly description: string | null
  readonly completed: boolean
  readonly completed_at: string | null
  readonly created_at: string
  readonly updated_at: string
  readonly version: number
}

/** A task in the trash. */
export type TrashedTask = Task & { readonly deleted_at: string }

/** A task to create, valid and with its defaults filled in. */
export type NewTask = {
  readonly id: string
  readonly title: string
  readonly description: string | null
  readonly completed: boolean
}

/** Changes to a task; what is left out keeps its value. */
export type TaskChanges = {
  readonly title?: string
  readonly description?: string | null
  /** The new value, or its opposite. */
  readonly completed?: boolean | 'toggle'
}

/** Whether a stored task has just the content that a create asks for. */
export function hasContent(task: Task, wanted: NewTask): boolean {
  return (
    task.title === wanted.title &&
    task.description === wanted.description &&
    task.completed === wanted.completed
  )
}
