import { test } from 'tap'
import { dummyHash, hashPassword, verifyPassword } from '../../../lib/access/password.ts'
import { formatPasswordHash, parsePasswordHash, type PasswordHash } from '../../../lib/access/password-hash.ts'

const cheap = { ln: 10, r: 8, p: 1 }

function parsed (text: string): PasswordHash {
  const hash = parsePasswordHash(text)
  if (typeof hash === 'string') throw new Error(hash)
  return hash
}

test('a hash says how it was made, and knows its password alone', async (t) => {
  const text = await hashPassword('correct horse', cheap)
  t.match(text, /^\$scrypt\$ln=10,r=8,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/)
  const hash = parsed(text)
  t.equal(await verifyPassword('correct horse', hash), true)
  t.equal(await verifyPassword(Buffer.from('correct horse'), hash), true)
  for (const wrong of ['', 'correct hors', 'correct horse ', 'Correct horse', 'x'.repeat(65_535)]) {
    t.equal(await verifyPassword(wrong, hash), false, JSON.stringify(wrong.slice(0, 20)))
  }
  t.equal(formatPasswordHash(hash), text)
})

test('a password may be 64 KiB, have NUL, and be no UTF-8', async (t) => {
  for (const password of [Buffer.alloc(65_535, 'x'), Buffer.from('a\0b'), Buffer.from([0xff, 0, 0xfe])]) {
    const hash = parsed(await hashPassword(password, cheap))
    t.equal(await verifyPassword(password, hash), true)
    t.equal(await verifyPassword(password.subarray(0, -1), hash), false)
  }
})

test('two hashes of one password have nothing in common', async (t) => {
  const [a, b] = [parsed(await hashPassword('x', cheap)), parsed(await hashPassword('x', cheap))]
  t.notSame(a.salt, b.salt)
  t.notSame(a.hash, b.hash)
})

test('the default cost is the one the documentation names', async (t) => {
  t.match(await hashPassword('x'), /^\$scrypt\$ln=14,r=8,p=1\$/)
})

test('a hash of another program is understood [RFC 7914, 12]', async (t) => {
  // The third vector of the RFC, its first 32 bytes: scrypt("pleaseletmein", "SodiumChloride", N=16384, r=8, p=1).
  const salt = Buffer.from('SodiumChloride').toString('base64').replace(/=+$/, '')
  const hash = Buffer.from('7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2', 'hex').toString('base64').replace(/=+$/, '')
  t.equal(await verifyPassword('pleaseletmein', parsed(`$scrypt$ln=14,r=8,p=1$${salt}$${hash}`)), true)
})

test('a file cannot demand memory or time without bound', async (t) => {
  const rest = `$${'A'.repeat(22)}$${'A'.repeat(43)}`
  for (const cost of ['ln=17,r=8,p=2', 'ln=14,r=8,p=16', 'ln=10,r=8,p=1']) t.type(parsePasswordHash(`$scrypt$${cost}${rest}`), 'object', cost)
  for (const cost of [
    'ln=18,r=8,p=1', 'ln=99,r=1,p=1', 'ln=17,r=9,p=1', 'ln=10,r=99,p=99', 'ln=16,r=8,p=5', 'ln=9,r=8,p=1', 'ln=0,r=8,p=1', 'ln=14,r=0,p=1',
    'ln=14,r=8,p=0', 'ln=014,r=8,p=1', 'ln=1e1,r=8,p=1', 'ln=-1,r=8,p=1', 'r=8,ln=14,p=1', 'ln=1000000,r=8,p=1'
  ]) t.type(parsePasswordHash(`$scrypt$${cost}${rest}`), 'string', cost)
  await t.resolves(verifyPassword('x', parsed(`$scrypt$ln=17,r=8,p=1${rest}`)), 'what is accepted can be computed')
})

test('what is no hash is told without being quoted', async (t) => {
  const cost = '$scrypt$ln=14,r=8,p=1'
  for (const text of [
    '', 'secret', '$2b$10$abcdefghijklmnopqrstuv', cost, `${cost}$$`, `${cost}$AAAA$${'A'.repeat(43)}`, `${cost}$${'A'.repeat(22)}$AAAA`,
    `${cost}$${'A'.repeat(22)}$${'A'.repeat(43)}\n`, `${cost}$${'A'.repeat(22)}==$${'A'.repeat(43)}`, `${cost}$${'A'.repeat(22)}$${'A'.repeat(43)}$x`
  ]) {
    const reason = parsePasswordHash(text)
    t.type(reason, 'string', text)
    t.notMatch(String(reason), 'secret')
  }
})

test('a dummy hash costs what is asked for, and no password is right', async (t) => {
  const dummy = dummyHash(cheap)
  t.match(dummy, cheap)
  t.equal(await verifyPassword('', dummy), false)
})
