/** The part of aedes-persistence-redis that is used; it has no types of its own. */
declare module 'aedes-persistence-redis/asyncPersistence.js' {
  export default class AsyncRedisPersistence {
    /** @param options its connection, of which it uses what is named here as long as the rest is stood in for */
    constructor (options: {
      conn: { hgetallBuffer (key: string): Promise<Record<string, Buffer>> }
    })

    /** QoS by filter, out of the hash `client:` with the client identifier, percent-encoded. */
    subscriptionsByClient (client: { id: string }): Promise<Array<{ topic: string, qos: number }>>
  }
}
