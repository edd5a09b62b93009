import { createApp } from "vue";
import { makeI18n } from "@/shared/i18n";
import "@/shared/theme.css";
import { way } from "@/shared/way";
import App from "./App.vue";
import { en, zh } from "./words";

void way.learn();
createApp(App)
  .use(makeI18n({ zh, en }))
  .mount("#app");
