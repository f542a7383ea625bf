import type { App } from '../../http/server.ts'
import { registerIdempotency } from '../../idempotency/idempotent-routes.ts'
import { TaskSchema } from '../schema.ts'
import { TrashedTaskSchema } from '../trash-schema.ts'
import { registerCompleteTask } from './complete-task.ts'
import { registerCreateTask } from './create-task.ts'
import { registerDeleteTask } from './delete-task.ts'
import { registerEmptyTrash } from './empty-trash.ts'
import { registerGetTask } from './get-task.ts'
import { registerListTasks } from './list-tasks.ts'
import { registerListTrash } from './list-trash.ts'
import { registerPurgeTask } from './purge-task.ts'
import { registerReplaceTask } from './replace-task.ts'
import { registerRestoreTask } from './restore-task.ts'
import type { TaskRouteDependencies } from './shared.ts'
import { registerUpdateTask } from './update-task.ts'

/** The operations on tasks, a file each. */
export function registerTaskRoutes(app: App, dependencies: TaskRouteDependencies): void {
  app.addSchema(TaskSchema)
  app.addSchema(TrashedTaskSchema)
  registerIdempotency(app, dependencies.database)
  registerListTasks(app, dependencies)
  registerCreateTask(app, dependencies)
  registerGetTask(app, dependencies)
  registerReplaceTask(app, dependencies)
  registerUpdateTask(app, dependencies)
  registerCompleteTask(app, dependencies)
  registerDeleteTask(app, dependencies)
  registerRestoreTask(app, dependencies)
  registerListTrash(app, dependencies)
  registerPurgeTask(app, dependencies)
  registerEmptyTrash(app, dependencies)
}
