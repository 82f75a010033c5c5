/** The settings of a listener: where devices connect, and how. A part of schema.ts. */
import { oneOf, optionalSection, text, texts, wholeNumber } from './setting.ts'
import { Type } from './type.ts'

/** What a host to listen on may be. */
export const HOST = {
  pattern: '^[A-Za-z0-9._:%-]+$',
  maxLength: 255,
  allowed: 'an IP address or a host name, without brackets and port'
} as const

const tls = optionalSection('TLS of an `mqtts` or `wss` listener. Files are PEM; relative paths start at the working directory.', {
  cert: text({ description: 'File with the certificate, followed by its intermediates.', example: 'tls.crt', allowed: 'a path' }),
  key: text({ description: 'File with the private key of the certificate.', example: 'tls.key', allowed: 'a path' }),
  ca: Type.Optional(text({
    description: 'File with the CA certificates that client certificates are checked against.', example: 'ca.crt', allowed: 'a path'
  })),
  crl: Type.Optional(text({
    description: 'File with the revocation lists (CRLs) that client certificates are checked against; one for every CA in `ca`.',
    example: 'ca.crl',
    allowed: 'a path'
  })),
  clientCertificate: oneOf(['none', 'optional', 'required'], {
    description: '`none`: clients are not asked for a certificate; `optional`: one that is given must be valid; `required`: no connection without one. The last two need `ca`.',
    default: 'none'
  }),
  minVersion: oneOf(['TLSv1.2', 'TLSv1.3'], { description: 'The oldest version of TLS that is spoken.', default: 'TLSv1.2' })
})

export const listener = Type.Object({
  protocol: oneOf(['mqtt', 'mqtts', 'ws', 'wss'], {
    description: '`mqtt`: MQTT over TCP; `mqtts`: over TLS; `ws`: over WebSocket; `wss`: over WebSocket and TLS.', default: 'mqtt'
  }),
  host: Type.Optional(text({
    description: 'Address to listen on. Beyond loopback it takes credentials, named in `access`, or `anonymous: true`. `::` takes IPv4 as well, unless another listener has the port there.',
    computed: '127.0.0.1, nothing where `socket` is given',
    example: '127.0.0.1',
    ...HOST
  })),
  port: Type.Optional(wholeNumber({
    description: 'Port to listen on; 0 takes any that is free.',
    minimum: 0,
    maximum: 65535,
    computed: '1883 for mqtt, 8883 for mqtts, 8083 for ws, 8884 for wss, nothing where `socket` is given',
    example: 1883
  })),
  socket: Type.Optional(text({
    description: 'Path of a Unix socket to listen on, in the place of host and port; for `mqtt` and `ws`. Only programs on this machine reach it.',
    maxLength: 107,
    allowed: 'a path of at most 107 bytes',
    example: '/run/mqtt-broker-source/mqtt.sock'
  })),
  socketMode: Type.Optional(text({
    description: 'Permissions of the Unix socket: who may write to it may connect. Without it, the umask decides.',
    pattern: '^0?[0-7]{3}$',
    allowed: 'three octal digits as a text',
    example: '0660'
  })),
  path: Type.Optional(text({
    description: 'Path of the WebSocket; for `ws` and `wss`.',
    pattern: '^/[^?#\\s]*$',
    maxLength: 1024,
    allowed: 'a path that begins with /, without query',
    computed: '/mqtt for ws and wss',
    example: '/mqtt'
  })),
  origins: Type.Optional(texts({
    description: 'Origins of the web pages that may connect with a browser; for `ws` and `wss`. Programs that are no browser name no origin and may always.',
    pattern: '^(?:\\*|null|[a-z][a-z0-9+.-]*://[^/?#\\sA-Z]+)$',
    allowed: 'origins such as https://app.example.com, in small letters and without a path, or * for all',
    computed: 'none for ws and wss: no browser may connect',
    example: ['https://app.example.com']
  })),
  proxyProtocol: optionalSection('All connections come through load balancers that speak the PROXY protocol, version 1 or 2; the device is the one that the header names.', {
    trusted: texts({
      description: 'Addresses of the load balancers. Connections from elsewhere are refused.',
      pattern: '^[0-9A-Fa-f.:]+(?:/[0-9]{1,3})?$',
      allowed: 'IP addresses and networks such as 10.0.0.0/8',
      minItems: 1,
      example: ['10.0.0.0/8', '::1']
    })
  }),
  anonymous: Type.Boolean({
    description: 'Lets in who shows no credentials. Beyond loopback, where `access` names no credentials that this listener takes, it has to be written here, as consent.',
    computed: 'true on loopback and Unix sockets without proxyProtocol, false elsewhere',
    example: true
  }),
  tls
}, { additionalProperties: false, description: 'One listener.' })
