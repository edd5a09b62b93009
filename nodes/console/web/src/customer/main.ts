import { createApp } from "vue";
import { makeI18n } from "@/shared/i18n";
import "@/shared/theme.css";
import App from "./App.vue";
import { en, zh } from "./words";

createApp(App)
  .use(makeI18n({ zh, en }))
  .mount("#app");
