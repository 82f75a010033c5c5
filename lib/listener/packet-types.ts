/** The first bytes of MQTT packets [MQTT-2.2.1, MQTT-2.2.2]: type in the upper four bits, flags in the lower. */

/** Types of control packets that the gate has to tell apart. */
export const CONNECT = 1
export const PUBLISH = 3
export const SUBSCRIBE = 8
export const UNSUBSCRIBE = 10
export const PINGREQ = 12
export const DISCONNECT = 14

/** The whole of PINGRESP [MQTT-3.13]. */
export const PINGRESP = Buffer.from([0xd0, 0])

/** The first bytes with which a client may begin a packet; every flag that is reserved has its one value. */
const FROM_CLIENT = new Set([
  0x10, // CONNECT
  // PUBLISH with DUP, QoS 0 to 2 and RETAIN; QoS 3 does not exist [MQTT-3.3.1-4]
  0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x3d,
  0x40, 0x50, 0x62, 0x70, // PUBACK, PUBREC, PUBREL, PUBCOMP
  0x82, 0xa2, // SUBSCRIBE, UNSUBSCRIBE
  0xc0, 0xe0 // PINGREQ, DISCONNECT
])

/** `FROM_CLIENT` by index: a look-up for each packet has to cost nothing. */
const VALID = Uint8Array.from({ length: 256 }, (_, byte) => FROM_CLIENT.has(byte) ? 1 : 0)

/** True where a client may begin a packet with this byte. */
export function isFirstByteOfClient (byte: number): boolean {
  return VALID[byte] === 1
}
