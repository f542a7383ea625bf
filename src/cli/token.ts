import { describeBadUserId } from '../auth/claims.ts'
import { configuredSecrets } from '../auth/configured-secrets.ts'
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
  const [secret] = configuredSecrets(config)
  if (secret === undefined) {
    throw new OperatorError(
      'There is no secret to sign with: tokens come from the issuer. For tokens of this command too, set BETTER_AUTH_SECRET.',
    )
  }
  process.stdout.write(`${signToken({ secret, userId })}\n`)
})
