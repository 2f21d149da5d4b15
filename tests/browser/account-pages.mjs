// The account pages, the recovery pages and the pages for the code of a device, on a phone, checked by axe-core.

import assert from "node:assert/strict";

import { MESSAGE_SETTINGS, extractLink, waitForMessage } from "../clients/messages.mjs";
import { test } from "../clients/test-runner.mjs";
import { PHONE_SCREEN, WAITS, check } from "./accessibility.mjs";
import { withFixtures } from "./fixtures.mjs";
import { REFUSED } from "./hostile-input.mjs";
import { ALICE, APP_HOST, App, OAUTH, answerForApps, consentPage, logIn } from "./oauth-app.mjs";

const settings = () => ({ ...MESSAGE_SETTINGS, ...OAUTH });
const NEW_PASSWORD = "walnut 3 harbour comet";
const EMAIL = "alice@example.org";

/** Opens the link in the `count`-th e-mail to the address in another tab, and confirms it. */
async function confirmEmail(server, user, count) {
  const page = await user.context.newPage();
  await page.goto(extractLink(await waitForMessage(server, EMAIL, count)));
  await page.getByRole("button", { name: "Yes, it was me" }).click();
  await page.getByRole("heading", { name: "Thank you" }).waitFor();
  await page.close();
}

/** Fills in both fields of a new password. */
async function enterNewPassword(page, password, again = password) {
  await page.getByLabel("New password", { exact: true }).fill(password);
  await page.getByLabel("New password, again").fill(again);
}

/** Adds an e-mail address on the account pages. */
async function addEmail(page, server, user) {
  await page.getByLabel("E-mail address").fill(EMAIL);
  await page.getByRole("button", { name: "Send the e-mail" }).click();
  await page.getByRole("heading", { name: `Add ${EMAIL}` }).waitFor();
  await check(page, "account-add");
  await page.getByRole("button", { name: "Add to the account" }).click();
  await page.getByRole("alert").waitFor();
  await check(page, "account-add-too-early");
  await confirmEmail(server, user, 1);
  await page.getByRole("button", { name: "Add to the account" }).click();
  await page.getByRole("heading", { name: "The address is added" }).waitFor();
  await check(page, "account-added");
}

test("OA-125 the account pages work on a phone, and axe finds no fault", () =>
  withFixtures(
    settings,
    async ({ server, user }) => {
      const { body } = await server.register({ ...ALICE, initial_device_display_name: "Kitchen tablet" });
      const { page } = await user.open(`${server.url}/account`);
      await check(page, "account-login");
      await logIn(page);
      await page.getByRole("heading", { name: /^Your account on / }).waitFor();
      await check(page, "account-start");

      await page.goto(`${server.url}/account?action=org.matrix.devices_list`);
      await check(page, "account-devices");
      await page.getByRole("link", { name: "Kitchen tablet" }).click();
      await page.getByLabel("Name of the device").fill("Living room");
      await check(page, "account-device");
      await page.getByRole("button", { name: "Rename" }).click();
      await page.getByRole("status").waitFor();
      await page.getByRole("link", { name: "The device" }).click();
      await page.getByRole("heading", { name: "Device Living room" }).waitFor();
      const url = `${server.url}/account?action=org.matrix.device_delete&device_id=${body.device_id}`;
      await page.goto(url);
      await check(page, "account-sign-out");
      await page.getByRole("button").first().click();
      await page.getByRole("status").waitFor();
      assert.equal((await server.whoami(body.access_token)).status, 401);

      await page.goto(`${server.url}/account?action=org.matrix.profile`);
      await check(page, "account-profile");
      await addEmail(page, server, user);
      await page.goto(`${server.url}/account?action=org.matrix.profile`);
      await page.getByText(EMAIL).first().waitFor();
      await check(page, "account-profile-with-address");

      await page.getByRole("link", { name: "Change your password" }).click();
      await check(page, "account-password");
      await enterNewPassword(page, NEW_PASSWORD, "another");
      await page.getByRole("button", { name: "Change the password" }).click();
      await page.getByRole("alert").waitFor();
      await check(page, "account-password-wrong");
      await enterNewPassword(page, NEW_PASSWORD);
      await page.getByRole("button", { name: "Change the password" }).click();
      await page.getByRole("status").waitFor();

      await page.goto(`${server.url}/account?action=org.matrix.account_deactivate`);
      await check(page, "account-deactivate");
      user.assertNoProblems(REFUSED);
    },
    PHONE_SCREEN,
  ));

test("OA-61 a forgotten password is replaced on a phone, and axe finds no fault", () =>
  withFixtures(
    settings,
    async ({ server, user }) => {
      await answerForApps(user);
      await server.register(ALICE);
      const account = await user.open(`${server.url}/account?action=org.matrix.profile`);
      await logIn(account.page);
      await addEmail(account.page, server, user);
      await account.page.close();
      await user.context.clearCookies();

      const app = await App.register(server);
      const { page } = await user.open(app.authorizationUrl());
      await page.getByRole("link", { name: "Set a new password" }).click();
      await check(page, "recovery-choice");
      await page.getByRole("link", { name: "With an e-mail address" }).click();
      await check(page, "recovery-address");
      await page.getByLabel("E-mail address").fill(EMAIL);
      await page.getByRole("button", { name: "Send the mail" }).click();
      await page.getByText("We have sent a mail").waitFor();
      await check(page, "recovery-sent", WAITS);
      // The second e-mail is the notification about the new address.
      await confirmEmail(server, user, 3);
      await page.getByRole("button", { name: /^(I have opened it|Continue)$/ }).click();
      await page.getByLabel("New password, again").waitFor();
      await check(page, "recovery-password");
      await enterNewPassword(page, NEW_PASSWORD);
      await page.getByRole("button", { name: "Set the password" }).click();
      await page.getByRole("status").waitFor();
      await check(page, "recovery-login");
      await page.getByLabel("Username, e-mail address or phone number").fill("alice");
      await page.getByLabel("Password").fill(NEW_PASSWORD);
      await page.getByRole("button", { name: "Log in" }).click();
      await consentPage(page, "@alice:localhost");
      user.assertNoProblems(REFUSED);
    },
    PHONE_SCREEN,
  ));

test("OA-118 the code of a device is entered on a phone, and axe finds no fault", () =>
  withFixtures(
    settings,
    async ({ server, user }) => {
      await server.register(ALICE);
      const grant = "urn:ietf:params:oauth:grant-type:device_code";
      const metadata = { client_name: "TV", client_uri: APP_HOST, grant_types: [grant, "refresh_token"] };
      const registered = await server.request("POST", "/oauth2/registration", { body: metadata });
      const { client_id } = registered.body;
      const post = async (path, values) => {
        const body = new URLSearchParams({ client_id, ...values });
        return (await fetch(`${server.url}${path}`, { method: "POST", body })).json();
      };
      const scope = "urn:matrix:client:api:* urn:matrix:client:device:TELEVISION";
      const codes = await post("/oauth2/device", { scope });
      const { page } = await user.open(codes.verification_uri);
      await check(page, "link-login");
      await logIn(page);
      await page.getByLabel("Code").fill("BCDF-BCDF");
      await check(page, "link-code");
      await page.getByRole("button", { name: "Continue" }).click();
      await page.getByRole("alert").waitFor();
      await check(page, "link-code-wrong");
      await page.getByLabel("Code").fill(codes.user_code.toLowerCase());
      await page.getByRole("button", { name: "Continue" }).click();
      await page.getByText(codes.user_code).first().waitFor();
      await check(page, "link-consent");
      await page.getByLabel(/in front of me/).check();
      await page.getByRole("button", { name: "Allow" }).click();
      await page.getByRole("heading", { name: "You have given access" }).waitFor();
      await check(page, "link-given");
      const tokens = await post("/oauth2/token", { grant_type: grant, device_code: codes.device_code });
      assert.equal((await server.whoami(tokens.access_token)).body.device_id, "TELEVISION");
      user.assertNoProblems(REFUSED);
    },
    PHONE_SCREEN,
  ));
