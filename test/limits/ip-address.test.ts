import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addressBlock, readIpAddress } from '../../src/lib/ip-address.ts'

for (const [text, address] of [
  ['192.0.2.1', '192.0.2.1'],
  ['192.0.2.1:50123', '192.0.2.1'],
  ['::ffff:192.0.2.1', '192.0.2.1'],
  ['::FFFF:192.0.2.1', '192.0.2.1'],
  ['[::ffff:192.0.2.1]:443', '192.0.2.1'],
  ['2001:DB8::1', '2001:db8::1'],
  ['[2001:db8::1]', '2001:db8::1'],
  ['[2001:db8::1]:443', '2001:db8::1'],
  ['fe80::1%eth0', 'fe80::1'],
  ['', undefined],
  ['unknown', undefined],
  ['192.0.2', undefined],
  ['192.0.2.256', undefined],
  ['192.0.2.1:', undefined],
  ['::ffff:192.0.2.256', undefined],
  ['192.0.2.1, 192.0.2.2', undefined],
  ['_hidden', undefined],
] as const) {
  test(`${JSON.stringify(text)} is read as ${address}`, () => assert.equal(readIpAddress(text), address))
}

for (const [address, block] of [
  ['192.0.2.1', '192.0.2.1'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2'],
  ['2001:db8:1:2::', '2001:db8:1:2'],
  ['2001:db8:1:2::6', '2001:db8:1:2'],
  ['2001:0db8:0001:0002::', '2001:db8:1:2'],
  ['2001:db8::1', '2001:db8:0:0'],
  ['2001:db8::2:0:0:0:1', '2001:db8:0:2'],
  ['2001::1:2:3:4:5:6', '2001:0:1:2'],
  ['::1', '0:0:0:0'],
  ['::', '0:0:0:0'],
  ['1::', '1:0:0:0'],
  ['::1:2:3:4:5:6:7', '0:1:2:3'],
  ['64:ff9b::192.0.2.1', '64:ff9b:0:0'],
  ['1:2:3::192.0.2.1', '1:2:3:0'],
] as const) {
  test(`${address} is of the block ${block}`, () => assert.equal(addressBlock(address), block))
}
