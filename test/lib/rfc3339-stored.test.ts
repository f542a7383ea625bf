import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseTime } from '../../src/lib/rfc3339.ts'

const times = fc.date({
  min: new Date('0001-01-02T00:00:00.000Z'),
  max: new Date('9998-12-30T23:59:59.999Z'),
  noInvalidDate: true,
})

test('any time, in UTC or with any offset, is read as the same time', () => {
  fc.assert(
    fc.property(times, fc.integer({ min: -1_439, max: 1_439 }), (time, offset) => {
      const iso = time.toISOString()
      assert.equal(parseTime(iso), iso)
      const local = new Date(time.getTime() + offset * 60_000).toISOString().slice(0, -1)
      const [hours, minutes] = [Math.floor(Math.abs(offset) / 60), Math.abs(offset) % 60]
      const zone = [hours, minutes].map((each) => String(each).padStart(2, '0')).join(':')
      assert.equal(parseTime(`${local}${offset < 0 ? '-' : '+'}${zone}`), iso)
    }),
  )
})

test('a fraction may have up to three digits, and T and Z may be small', () => {
  for (const [text, expected] of [
    ['2026-11-23T02:08:44Z', '2026-11-23T02:08:44.000Z'],
    ['2026-11-23T02:08:44.4Z', '2026-11-23T02:08:44.400Z'],
    ['2026-11-23t02:08:44.46z', '2026-11-23T02:08:44.460Z'],
    ['2024-02-29T23:59:59.999-00:00', '2024-02-29T23:59:59.999Z'],
    ['0001-01-01T00:00:00Z', '0001-01-01T00:00:00.000Z'],
    ['9998-12-31T23:59:59.999Z', '9998-12-31T23:59:59.999Z'],
  ] as const) {
    assert.equal(parseTime(text), expected)
  }
})

test('what is no time, or finer or farther than times here can be, is refused', () => {
  for (const text of [
    '',
    'now',
    '2026-11-23',
    '2026-11-23 02:08:44Z',
    '2026-11-23T02:08Z',
    '2026-11-23T02:08:44',
    '2026-11-23T02:08:44.Z',
    '2026-11-23T02:08:44.4671Z',
    '2026-11-23T02:08:44+0100',
    '2026-11-23T02:08:44+24:00',
    '2026-11-23T02:08:44+01:60',
    '2026-11-23T24:00:00Z',
    '2026-11-23T23:60:00Z',
    '2026-11-23T23:59:60Z',
    '2026-02-29T00:00:00Z',
    '2026-13-01T00:00:00Z',
    '2026-00-01T00:00:00Z',
    '0000-12-31T23:59:59Z',
    '0001-01-01T00:00:00+00:01',
    '9998-12-31T23:59:59-00:01',
    '9999-01-01T00:00:00Z',
    '+02026-11-23T02:08:44Z',
    ' 2026-11-23T02:08:44Z',
  ]) {
    assert.equal(parseTime(text), undefined, text)
  }
})
