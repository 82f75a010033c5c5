import { test } from 'tap'
import { indentJson, jsonElements, jsonMembers, jsonText } from '../../../lib/cloudevent/json-text.ts'

test('members are cut out of an object as they were written', async (t) => {
  t.same(jsonMembers(' { "a" : 1.0 , "b":{"c":[1,"]}",2]},"d,\\"":"x\\\\","a":12345678901234567890 } '), [
    ['a', '1.0'], ['b', '{"c":[1,"]}",2]}'], ['d,"', '"x\\\\"'], ['a', '12345678901234567890']
  ])
  t.same(jsonMembers('{}'), [])
  t.same(jsonMembers('{"a":{}}'), [['a', '{}']])
  t.same(jsonMembers('{"a":""}'), [['a', '""']])
})

test('elements are cut out of an array as they were written', async (t) => {
  t.same(jsonElements(' [ {"a":[1,2]} , "," , 1.0,[]] '), ['{"a":[1,2]}', '","', '1.0', '[]'])
  t.same(jsonElements('[]'), [])
  t.same(jsonElements('[ ]'), [])
})

test('indenting changes nothing but the white space between tokens', async (t) => {
  const text = '{"n":1.0,"big":12345678901234567890,"e":1E+2,"s":"a, b: {c}\\u00fc\\"","t":[true,null],"n":0}'
  const indented = indentJson(text, '', '  ')
  t.equal(indented.split('\n').map((line) => line.trimStart().replace('": ', '":')).join(''), text)
  t.equal(indentJson(indented, '', '  '), indented, 'once is enough')
})

test('JSON is indented as by json.Indent of Go', async (t) => {
  t.equal(indentJson('{"a":74.12,"b":[1,2],"c":{},"d":[ ],"e":[{"f":""}]}', '  ', '  '), [
    '{',
    '    "a": 74.12,',
    '    "b": [',
    '      1,',
    '      2',
    '    ],',
    '    "c": {},',
    '    "d": [],',
    '    "e": [',
    '      {',
    '        "f": ""',
    '      }',
    '    ]',
    '  }'
  ].join('\n'))
  t.equal(indentJson(' 1.50 ', '  ', '  '), '1.50')
})

test('text is given for JSON only', async (t) => {
  t.equal(jsonText(Buffer.from(' {"ü":1.0} ')), ' {"ü":1.0} ')
  t.equal(jsonText(Buffer.from('{"a":1.0')), undefined)
})
