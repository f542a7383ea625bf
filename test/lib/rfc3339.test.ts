import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { readTime } from '../../src/lib/rfc3339.ts'

function assertRead(text: string, floor: string, ceil = floor): void {
  const expected = { floorMs: Date.parse(floor), ceilMs: Date.parse(ceil) }
  assert.deepEqual(readTime(text), expected, text)
}

test('a time is read in any offset, with any number of decimals, its letters in either case', () => {
  assertRead('2026-11-23T02:08:44.467Z', '2026-11-23T02:08:44.467Z')
  assertRead('2026-11-23t02:08:44.467z', '2026-11-23T02:08:44.467Z')
  assertRead('2026-11-23T02:08:44Z', '2026-11-23T02:08:44.000Z')
  assertRead('2026-11-23T02:08:44.4Z', '2026-11-23T02:08:44.400Z')
  assertRead('2026-11-23T02:08:44.46700000000000000000Z', '2026-11-23T02:08:44.467Z')
  assertRead('2026-11-23T02:08:44+00:00', '2026-11-23T02:08:44.000Z')
  assertRead('2026-11-23T02:08:44-00:00', '2026-11-23T02:08:44.000Z')
  assertRead('2026-11-23T01:38:44+23:59', '2026-11-22T01:39:44.000Z')
  assertRead('2026-11-23T02:08:44-05:30', '2026-11-23T07:38:44.000Z')
  assertRead('2024-02-29T00:00:00Z', '2024-02-29T00:00:00.000Z')
  assertRead('0099-12-31T23:59:59.999Z', '0099-12-31T23:59:59.999Z')
})

test('a time finer than a millisecond lies between two, before 1970 too', () => {
  assertRead('2026-11-23T02:08:44.4671Z', '2026-11-23T02:08:44.467Z', '2026-11-23T02:08:44.468Z')
  assertRead('2026-11-23T02:08:44.999999999999Z', '2026-11-23T02:08:44.999Z', '2026-11-23T02:08:45.000Z')
  assertRead('1969-12-31T23:59:59.9999Z', '1969-12-31T23:59:59.999Z', '1970-01-01T00:00:00.000Z')
  assertRead('1900-01-01T00:00:00.0001Z', '1900-01-01T00:00:00.000Z', '1900-01-01T00:00:00.001Z')
})

test('a leap second lies at the end of a day in UTC, between its last millisecond and the next day', () => {
  const around = ['1990-12-31T23:59:59.999Z', '1991-01-01T00:00:00.000Z'] as const
  for (const text of ['1990-12-31T23:59:60Z', '1990-12-31T15:59:60.5-08:00', '1990-12-31T23:59:60.000Z'])
    assertRead(text, ...around)
  for (const text of ['1990-12-31T23:58:60Z', '1990-12-31T23:59:60+01:00', '1990-12-31T23:59:61Z'])
    assert.equal(readTime(text), undefined, text)
})

test('the years are 0001 to 9999, in UTC', () => {
  assertRead('0001-01-01T00:00:00Z', '0001-01-01T00:00:00.000Z')
  assertRead('9999-12-31T23:59:59.999Z', '9999-12-31T23:59:59.999Z')
  assertRead('9999-12-31T23:59:59.9991Z', '9999-12-31T23:59:59.999Z', '+010000-01-01T00:00:00.000Z')
  for (const text of [
    '0000-12-31T23:59:59Z',
    '0001-01-01T00:00:00+00:01',
    '9999-12-31T23:59:59-00:01',
    '10000-01-01T00:00:00Z',
    '-0001-01-01T00:00:00Z',
    '+002026-01-01T00:00:00Z',
  ])
    assert.equal(readTime(text), undefined, text)
})

test('what is not of the form, or is no day or hour, is refused', () => {
  for (const text of [
    '',
    'now',
    'infinity',
    '-infinity',
    'epoch',
    '0',
    '1763863724467',
    '2026-11-23',
    '2026-11-23T02:08Z',
    '2026-11-23T02:08:44',
    '2026-11-23 02:08:44Z',
    '2026-11-23T02:08:44 Z',
    ' 2026-11-23T02:08:44Z',
    '2026-11-23T02:08:44Z\n',
    '2026-11-23T02:08:44,5Z',
    '2026-11-23T02:08:44.Z',
    '2026-11-23T02:08:44+01',
    '2026-11-23T02:08:44+0100',
    '2026-11-23T02:08:44 01:00',
    '2026-11-23T02:08:44+24:00',
    '2026-11-23T02:08:44+01:60',
    '2026-11-23T24:00:00Z',
    '2026-11-23T02:60:44Z',
    '2026-11-23T02:08:61Z',
    '2026-00-23T02:08:44Z',
    '2026-13-23T02:08:44Z',
    '2026-11-00T02:08:44Z',
    '2026-11-31T02:08:44Z',
    '2026-02-29T02:08:44Z',
    '2100-02-29T02:08:44Z',
    '20261123T020844Z',
    '2026-W48-1T02:08:44Z',
    '２０２６-11-23T02:08:44Z',
    '2026-11-23T02:08:44Z UTC',
  ])
    assert.equal(readTime(text), undefined, JSON.stringify(text))
})

test('every time that a Date can write is read as it is, and written with any offset it is the same', () => {
  const times = fc.date({
    min: new Date('0001-01-03T00:00:00Z'),
    max: new Date('9999-12-29T00:00:00Z'),
    noInvalidDate: true,
  })
  fc.assert(
    fc.property(times, fc.integer({ min: -1439, max: 1439 }), (time, offset) => {
      assertRead(time.toISOString(), time.toISOString())
      const local = new Date(time.getTime() + offset * 60_000).toISOString().slice(0, -1)
      const [hours, minutes] = [Math.floor(Math.abs(offset) / 60), Math.abs(offset) % 60]
      const two = (n: number) => String(n).padStart(2, '0')
      const written = `${local}${offset < 0 ? '-' : '+'}${two(hours)}:${two(minutes)}`
      assertRead(written, time.toISOString())
    }),
  )
})
