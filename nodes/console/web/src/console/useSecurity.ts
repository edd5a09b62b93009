// The cryptography of every node and the keys it holds, asked when somebody looks.

import { computed, onMounted, ref } from "vue";
import { problemOf } from "@/shared/api";
import type { InventoryView, KeysView, NodeInventory, NodeKeys, Problem, Zone } from "@/shared/types";
import type { Ask } from "@/shared/useLogin";

export interface NodeSecurity {
  name: string;
  zone?: Zone;
  inventory?: NodeInventory;
  keys?: NodeKeys;
  findings: number;
  /** It answered neither question. */
  silent: boolean;
}

/** What both answers say, by node; one that answered only one question is not silent. */
export function byNode(inventory: InventoryView, keys: KeysView): NodeSecurity[] {
  const names = new Set([
    ...inventory.nodes.map(({ node }) => node),
    ...keys.nodes.map(({ node }) => node),
    ...inventory.silent,
    ...keys.silent,
  ]);
  return [...names].sort().map((name) => {
    const said = inventory.nodes.find(({ node }) => node === name);
    const held = keys.nodes.find(({ node }) => node === name);
    const findings = inventory.findings.filter(({ node }) => node === name).length;
    return { name, zone: said?.zone ?? held?.zone, inventory: said, keys: held, findings, silent: !said && !held };
  });
}

export function useSecurity(ask: Ask) {
  const inventory = ref<InventoryView>();
  const keys = ref<KeysView>();
  const problem = ref<Problem>();
  const working = ref(false);

  async function load(): Promise<void> {
    working.value = true;
    problem.value = undefined;
    try {
      [inventory.value, keys.value] = await Promise.all([
        ask<InventoryView>("GET", "/api/v1/crypto"),
        ask<KeysView>("GET", "/api/v1/keys"),
      ]);
    } catch (error) {
      problem.value = problemOf(error);
    } finally {
      working.value = false;
    }
  }

  const nodes = computed(() => (inventory.value && keys.value ? byNode(inventory.value, keys.value) : []));
  onMounted(load);
  return { inventory, nodes, problem, working, load };
}
