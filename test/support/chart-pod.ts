/**
 * A pod of the chart as a process of this machine: what Knative's SinkBinding adds to it, and its environment and
 * mounts made real in a folder. What a kubelet would do with Secrets, the test does with files.
 */
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { NAMESPACE, find, type Container, type Manifest, type PodSpec } from './chart.ts'
import { spawnProgram, type Program } from './process.ts'

/** What a SinkBinding knows of its sink. */
export interface Binding {
  readonly sink: string
  readonly caCerts?: string
  /** JSON; the empty string where there are none: the variable is always there. */
  readonly overrides: string
  /** The sink has an audience, and OIDC is on. */
  readonly oidc: boolean
  /** There are trust bundles. */
  readonly bundles: boolean
}

/** The pod as it is after the mutation of SinkBinding (`Do` of knative/eventing, sinkbinding_lifecycle.go). */
export function bind (pod: PodSpec, { sink, caCerts, overrides, oidc, bundles }: Binding): PodSpec {
  const env = [
    { name: 'K_SINK', value: sink },
    ...(caCerts === undefined ? [] : [{ name: 'K_CA_CERTS', value: caCerts }]),
    { name: 'K_CE_OVERRIDES', value: overrides }
  ]
  const added = [
    ...(oidc ? [{ name: 'oidc-token', mountPath: '/oidc', secret: { secretName: 'oidc-token' } }] : []),
    ...(bundles ? [{ name: 'kne-bundle-volume', mountPath: '/knative-custom-certs', projected: {} }] : [])
  ]
  const bound = (containers: readonly Container[] = []): Container[] => containers.map((container) => ({
    ...container,
    env: [...container.env ?? [], ...env],
    volumeMounts: [
      ...container.volumeMounts ?? [], ...added.map(({ name, mountPath }) => ({ name, mountPath, readOnly: true }))
    ]
  }))
  return {
    ...pod,
    containers: bound(pod.containers),
    initContainers: bound(pod.initContainers),
    volumes: [...pod.volumes ?? [], ...added.map(({ mountPath, ...volume }) => volume)]
  }
}

/** The files of a volume, as Kubernetes lays them out: links into a folder that is replaced as a whole. */
class Volume {
  readonly folder: string
  #version = 0

  constructor (folder: string) {
    this.folder = folder
    mkdirSync(folder, { recursive: true })
  }

  /** Replaces all files by turning one link. */
  write (files: Readonly<Record<string, string>>): void {
    const name = `..${++this.#version}`
    mkdirSync(join(this.folder, name))
    for (const [file, text] of Object.entries(files)) {
      writeFileSync(join(this.folder, name, file), text)
      rmSync(join(this.folder, file), { force: true })
      symlinkSync(join('..data', file), join(this.folder, file))
    }
    symlinkSync(name, join(this.folder, '..next'))
    renameSync(join(this.folder, '..next'), join(this.folder, '..data'))
  }
}

/** What this machine has in the place of a node. Volumes that outlive a pod, such as `data`, outlive it here, too. */
export class Node {
  readonly #folder: string
  readonly #manifests: readonly Manifest[]
  readonly #volumes = new Map<string, Volume>()

  constructor (folder: string, manifests: readonly Manifest[]) {
    this.#folder = folder
    this.#manifests = manifests
  }

  /** Fills a Secret, or what Knative mounts, by the name of the volume; again: replaces it. */
  fill (volume: string, files: Readonly<Record<string, string>>): void {
    this.#volume(volume).write(files)
  }

  /**
   * Starts the container `broker` with its arguments and environment. Its mounts lie in a folder, not at the root,
   * which its arguments, its configuration and two variables say; the ports are any that are free.
   */
  async start (t: Test, pod: PodSpec): Promise<Program> {
    const container = pod.containers.find(({ name }) => name === 'broker')!
    const mounts = (container.volumeMounts ?? []).map(({ name, mountPath }) => {
      return { mountPath, volume: this.#volume(name) }
    })
    // All at once: where a mount lies now may begin like another one.
    const paths = new RegExp(`(?<![\\w/.-])(${mounts.map(({ mountPath }) => mountPath).join('|')})(?=[/\\s"']|$)`, 'g')
    const folderOf = (path: string) => {
      return mounts.find(({ mountPath }) => mountPath === path)?.volume.folder ?? join(this.#folder, 'nothing')
    }
    const moved = (text: string) => text.replaceAll(paths, folderOf)
    for (const { name, configMap } of pod.volumes as ReadonlyArray<{ name: string, configMap?: { name: string } }>) {
      if (configMap === undefined) continue
      const { data = {} } = find(this.#manifests, 'ConfigMap', configMap.name)
      this.fill(name, Object.fromEntries(Object.entries(data).map(([file, text]) => [file, moved(text)])))
    }
    const env: Record<string, string> = {
      MBS_KNATIVE_TOKEN_FILE: join(folderOf('/oidc'), 'token'),
      MBS_KNATIVE_CA_DIRECTORY: folderOf('/knative-custom-certs'),
      MBS_HTTP_PORT: '0',
      MBS_LISTENERS_0_PORT: '0'
    }
    // NAMESPACE is the only one that the chart takes from a field.
    for (const { name, value } of container.env ?? []) env[name] = value ?? NAMESPACE
    const program = spawnProgram(t, (container.args ?? []).map(moved), { env })
    await program.logged('mqtt-broker-source is up')
    return program
  }

  #volume (name: string): Volume {
    const volume = this.#volumes.get(name) ?? new Volume(join(this.#folder, name))
    this.#volumes.set(name, volume)
    return volume
  }
}
