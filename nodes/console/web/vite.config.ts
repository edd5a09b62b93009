import { fileURLToPath } from "node:url";
import vue from "@vitejs/plugin-vue";
import { ElementPlusResolver } from "unplugin-vue-components/resolvers";
import components from "unplugin-vue-components/vite";
import { defineConfig } from "vitest/config";
import { licences } from "./licences.ts";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

// Three pages, one build. Names carry the hash of their content, so `assets/` may be cached for ever;
// nothing is inlined, since the pages are served under a content security policy without inline scripts.
export default defineConfig({
  base: "/",
  resolve: { alias: { "@": here("./src") } },
  define: {
    __VUE_OPTIONS_API__: true,
    __VUE_PROD_DEVTOOLS__: false,
    __VUE_PROD_HYDRATION_MISMATCH_DETAILS__: false,
    __VUE_I18N_LEGACY_API__: false,
    __VUE_I18N_FULL_INSTALL__: false,
    __INTLIFY_PROD_DEVTOOLS__: false,
    __INTLIFY_JIT_COMPILATION__: true,
    __INTLIFY_DROP_MESSAGE_COMPILER__: false,
  },
  plugins: [
    vue(),
    components({ dts: false, dirs: [], resolvers: [ElementPlusResolver({ importStyle: "css" })] }),
    licences(),
  ],
  worker: { format: "es" },
  build: {
    outDir: "../dist",
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0,
    sourcemap: false,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 900,
    rolldownOptions: {
      // The MoQ library writes addresses with their media tokens to the console.
      output: { minify: { compress: { dropConsole: true } } },
      input: {
        customer: here("./customer.html"),
        desk: here("./desk.html"),
        console: here("./console.html"),
      },
    },
  },
  // Components bring their styles with them, which only the bundler can read.
  test: { server: { deps: { inline: ["element-plus"] } } },
  server: { proxy: { "/api": "http://127.0.0.1:5180" } },
});
