import type { App } from '../../http/server.ts'
import { ChangeSchema } from '../changes-schema.ts'
import { TaskSchema } from '../schema.ts'
import { registerCompleteTask } from './complete-task.ts'
import { registerCreateTask } from './create-task.ts'
import { registerDeleteTask } from './delete-task.ts'
import { registerGetTask } from './get-task.ts'
import { registerListChanges } from './list-changes.ts'
import { registerListTasks } from './list-tasks.ts'
import { registerReplaceTask } from './replace-task.ts'
import type { TaskRouteDependencies } from './shared.ts'
import { registerStreamChanges } from './stream-changes.ts'
import { registerUpdateTask } from './update-task.ts'

/** The operations on tasks, a file each. */
export function registerTaskRoutes(app: App, dependencies: TaskRouteDependencies): void {
  app.addSchema(TaskSchema)
  app.addSchema(ChangeSchema)
  registerListTasks(app, dependencies)
  registerCreateTask(app, dependencies)
  registerGetTask(app, dependencies)
  registerReplaceTask(app, dependencies)
  registerUpdateTask(app, dependencies)
  registerCompleteTask(app, dependencies)
  registerDeleteTask(app, dependencies)
  registerListChanges(app, dependencies)
  registerStreamChanges(app, dependencies)
}
