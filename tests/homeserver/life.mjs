// The life cycle of an account with matrix-js-sdk, the client library of Element Web, through nginx.
//
// The environment has the URL of nginx, and the URL and the secret of Synapse. Every step also checks the state there.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";

import { PASSWORD } from "../clients/gatehouse-server.mjs";
import { SignUp, createClient } from "../clients/js/sign-up.mjs";

const { NGINX_URL: baseUrl, SYNAPSE_URL, SYNAPSE_SECRET } = process.env;
const NEW_PASSWORD = "eleven purple lamps 8";

/** The user at Synapse. */
async function queryUser(localpart) {
  const response = await fetch(`${SYNAPSE_URL}/_synapse/mas/query_user?localpart=${localpart}`, {
    headers: { authorization: `Bearer ${SYNAPSE_SECRET}` },
  });
  assert.equal(response.status, 200);
  return response.json();
}

/** A client with the access token of a login. */
const clientOf = (login) =>
  createClient({
    baseUrl,
    accessToken: login.access_token,
    refreshToken: login.refresh_token,
    userId: login.user_id,
    deviceId: login.device_id,
  });

const passwordAuth = (user, session, password = PASSWORD) => ({
  type: "m.login.password",
  identifier: { type: "m.id.user", user },
  password,
  session,
});

async function signUp(name) {
  const account = await new SignUp({ url: baseUrl }, name, {}).complete(`@${name}:localhost`);
  const user = await queryUser(name);
  assert.deepEqual([user.user_id, user.is_deactivated], [account.user_id, false]);
  return account;
}

async function logIn(name, password = PASSWORD) {
  const login = await createClient({ baseUrl }).loginRequest({
    type: "m.login.password",
    identifier: { type: "m.id.user", user: name },
    password,
    refresh_token: true,
    initial_device_display_name: "js-sdk",
  });
  assert.equal((await clientOf(login).whoami()).device_id, login.device_id);
  return login;
}

/** Repeats an operation with the password after its challenge. */
async function withPassword(name, operation) {
  const challenge = await operation(undefined).then(
    () => assert.fail("no challenge"),
    (error) => error,
  );
  assert.equal(challenge.httpStatus, 401, challenge);
  return operation(passwordAuth(name, challenge.data.session));
}

/** Asserts that Synapse rejects the token of a login within a second. */
async function assertEnded(login) {
  const end = Date.now() + 1000;
  for (;;) {
    const error = await clientOf(login)
      .whoami()
      .then(() => null, (error) => error);
    if (error) {
      assert.deepEqual([error.httpStatus, error.errcode], [401, "M_UNKNOWN_TOKEN"]);
      return;
    }
    assert.ok(Date.now() < end, "Synapse still accepts the token after a second");
    await sleep(20);
  }
}

/** The IDs of the devices that Synapse has. */
const deviceIds = async (login) =>
  (await clientOf(login).getDevices()).devices.map((device) => device.device_id).sort();

/** Waits for a text message in a room, by `sync`. */
async function receive(client, roomId, text) {
  const received = new Promise((resolve) => {
    client.on("Room.timeline", (event, room) => {
      if (room?.roomId === roomId && event.getContent().body === text) resolve(event.getSender());
    });
  });
  await client.startClient({ initialSyncLimit: 10 });
  const sender = await Promise.race([received, sleep(20_000).then(() => assert.fail("no message after 20 s"))]);
  client.stopClient();
  return sender;
}

// Two users sign up and meet in a room.
const alice = await signUp("js-alice");
const bob = await signUp("js-bob");
const [aliceClient, bobClient] = [clientOf(alice), clientOf(bob)];
const { room_id: roomId } = await aliceClient.createRoom({ invite: [bob.user_id] });
await bobClient.joinRoom(roomId);
await aliceClient.sendTextMessage(roomId, "hello");
assert.equal(await receive(bobClient, roomId, "hello"), alice.user_id);

// Devices: a second login, a new name, a deletion.
const second = await logIn("js-alice");
assert.deepEqual(await deviceIds(alice), [alice.device_id, second.device_id].sort());
await aliceClient.setDeviceDetails(second.device_id, { display_name: "telephone" });
const { devices } = await aliceClient.getDevices();
assert.equal(devices.find((device) => device.device_id === second.device_id).display_name, "telephone");
await withPassword("js-alice", (auth) => aliceClient.deleteDevice(second.device_id, auth));
await assertEnded(second);
assert.deepEqual(await deviceIds(alice), [alice.device_id]);

// A refresh. The old token is not in Synapse's cache.
const third = await logIn("js-alice");
const refreshed = await createClient({ baseUrl }).refreshToken(third.refresh_token);
assert.notEqual(refreshed.access_token, third.access_token);
const renewed = { ...third, ...refreshed };
assert.equal((await clientOf(renewed).whoami()).device_id, third.device_id);

// A password change that logs the other devices out.
await withPassword("js-alice", (auth) => aliceClient.setPassword(auth, NEW_PASSWORD, true));
await assertEnded(renewed);
assert.deepEqual(await deviceIds(alice), [alice.device_id]);
const fourth = await logIn("js-alice", NEW_PASSWORD);

// Logout of one device, and of all devices.
await clientOf(fourth).logout();
await assertEnded(fourth);
await aliceClient.whoami();
const fifth = await logIn("js-alice", NEW_PASSWORD);
await clientOf(fifth).http.authedRequest("POST", "/logout/all", {}, {});
await assertEnded(fifth);
await assertEnded(alice);

// Deactivation.
await withPassword("js-bob", (auth) => bobClient.deactivateAccount(auth, false));
await assertEnded(bob);
assert.equal((await queryUser("js-bob")).is_deactivated, true);
const free = await createClient({ baseUrl }).isUsernameAvailable("js-bob");
assert.equal(free, false);

// Timers of matrix-js-sdk would keep the process alive.
process.exit();
