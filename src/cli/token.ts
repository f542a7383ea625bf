import { describeBadUserId } from '../auth/claims.ts'
import { developmentSecret } from '../auth/development-secret.ts'
import { OperatorError } from '../errors.ts'
import { readConfig, runCommand } from './command.ts'
import { signToken } from './sign-token.ts'

/** `npm run token -- USER_ID`: prints a token for that user, valid for 8 hours, and nothing else. */
await runCommand(async ([userId, ...rest]) => {
  if (userId === undefined || rest.length > 0) {
    throw new OperatorError('Usage: npm run --silent token -- USER_ID')
  }
  const bad = describeBadUserId(userId)
  if (bad !== undefined) throw new OperatorError(`The user id ${bad}.`)
  const config = readConfig()
  const secret = config.secret ?? developmentSecret(config.dataDir)
  process.stdout.write(`${signToken({ secret, userId })}\n`)
})
