import type { App } from '../../http/server.ts'
import { TaskSchema } from '../schema.ts'
import { ExportedTaskSchema, ImportLineSchema } from '../transfer-schema.ts'
import { TransferSlots } from '../transfer-slots.ts'
import { registerCompleteTask } from './complete-task.ts'
import { registerCreateTask } from './create-task.ts'
import { registerDeleteTask } from './delete-task.ts'
import { registerEraseData } from './erase-data.ts'
import { registerExportData } from './export-data.ts'
import { registerGetTask } from './get-task.ts'
import { registerImportData } from './import-data.ts'
import { registerListTasks } from './list-tasks.ts'
import { registerReplaceTask } from './replace-task.ts'
import type { TaskRouteDependencies } from './shared.ts'
import { registerUpdateTask } from './update-task.ts'

/** The operations on tasks, a file each. */
export function registerTaskRoutes(app: App, dependencies: TaskRouteDependencies): void {
  app.addSchema(TaskSchema)
  registerListTasks(app, dependencies)
  registerCreateTask(app, dependencies)
  registerGetTask(app, dependencies)
  registerReplaceTask(app, dependencies)
  registerUpdateTask(app, dependencies)
  registerCompleteTask(app, dependencies)
  registerDeleteTask(app, dependencies)
  app.addSchema(ExportedTaskSchema)
  app.addSchema(ImportLineSchema)
  const slots = new TransferSlots()
  registerExportData(app, { ...dependencies, slots })
  registerImportData(app, { ...dependencies, slots })
  registerEraseData(app, dependencies)
}
