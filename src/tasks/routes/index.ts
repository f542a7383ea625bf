import type { App } from '../../http/server.ts'
import { registerIdempotency } from '../../idempotency/idempotent-routes.ts'
import { ChangeSchema } from '../changes-schema.ts'
import { TaskSchema } from '../schema.ts'
import { ExportedTaskSchema, ImportLineSchema } from '../transfer-schema.ts'
import { TransferSlots } from '../transfer-slots.ts'
import { TrashedTaskSchema } from '../trash-schema.ts'
import { registerBatchTasks } from './batch-tasks.ts'
import { registerCompleteTask } from './complete-task.ts'
import { registerCreateTask } from './create-task.ts'
import { registerDeleteTask } from './delete-task.ts'
import { registerEmptyTrash } from './empty-trash.ts'
import { registerEraseData } from './erase-data.ts'
import { registerExportData } from './export-data.ts'
import { registerGetTask } from './get-task.ts'
import { registerImportData } from './import-data.ts'
import { registerListChanges } from './list-changes.ts'
import { registerListTasks } from './list-tasks.ts'
import { registerListTrash } from './list-trash.ts'
import { registerPurgeTask } from './purge-task.ts'
import { registerReplaceTask } from './replace-task.ts'
import { registerRestoreTask } from './restore-task.ts'
import type { TaskRouteDependencies } from './shared.ts'
import { registerStreamChanges } from './stream-changes.ts'
import { registerUpdateTask } from './update-task.ts'

/** The operations on tasks, a file each. */
export function registerTaskRoutes(app: App, dependencies: TaskRouteDependencies): void {
  for (const schema of [TaskSchema, TrashedTaskSchema, ExportedTaskSchema, ImportLineSchema, ChangeSchema]) {
    app.addSchema(schema)
  }
  registerIdempotency(app, dependencies.database)
  registerListTasks(app, dependencies)
  registerCreateTask(app, dependencies)
  registerBatchTasks(app, dependencies)
  registerGetTask(app, dependencies)
  registerReplaceTask(app, dependencies)
  registerUpdateTask(app, dependencies)
  registerCompleteTask(app, dependencies)
  registerDeleteTask(app, dependencies)
  registerRestoreTask(app, dependencies)
  registerListTrash(app, dependencies)
  registerPurgeTask(app, dependencies)
  registerEmptyTrash(app, dependencies)
  registerListChanges(app, dependencies)
  registerStreamChanges(app, dependencies)
  const slots = new TransferSlots()
  registerExportData(app, { ...dependencies, slots })
  registerImportData(app, { ...dependencies, slots })
  registerEraseData(app, dependencies)
}
