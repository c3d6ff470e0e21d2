// A sign-in provider (OpenID Connect) for tests: oidc-provider on a free port of this machine.
//
// Prints its issuer when it is ready, and ends with its standard input. Anyone may sign in, under any name
// and without a password: a page has a form that posts `login` to the page's own address. The account's
// subject is that name, its e-mail address NAME@example.com, which is verified unless the name begins
// with `unverified`.
//
// Clients: `motet` with the secret `a secret of the client`, and `motet-public` without one, whose ID tokens
// are signed with ES256. Both may return to /sign-in/callback on any port of 127.0.0.1.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { Provider } from 'oidc-provider';

/** A new private key as a JWK. */
function key(alg, type, options) {
  const { privateKey } = generateKeyPairSync(type, options);
  return { ...privateKey.export({ format: 'jwk' }), kid: alg, alg, use: 'sig' };
}

const client = {
  // Native applications may return to any port of the loopback address (RFC 8252).
  application_type: 'native',
  redirect_uris: ['http://127.0.0.1/sign-in/callback'],
  grant_types: ['authorization_code'],
  response_types: ['code'],
};

const configuration = {
  clients: [
    { ...client, client_id: 'motet', client_secret: 'a secret of the client' },
    {
      ...client,
      client_id: 'motet-public',
      token_endpoint_auth_method: 'none',
      id_token_signed_response_alg: 'ES256',
    },
  ],
  jwks: {
    keys: [
      key('RS256', 'rsa', { modulusLength: 2048 }),
      key('ES256', 'ec', { namedCurve: 'P-256' }),
    ],
  },
  cookies: { keys: [randomBytes(32).toString('hex')] },
  pkce: { required: () => true },
  claims: {
    openid: ['sub'],
    email: ['email', 'email_verified'],
    profile: ['name', 'preferred_username'],
  },
  features: { devInteractions: { enabled: false } },
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  findAccount: (_, accountId) => ({
    accountId,
    claims: () => ({
      sub: accountId,
      email: `${accountId}@example.com`,
      email_verified: !accountId.startsWith('unverified'),
      name: accountId[0].toUpperCase() + accountId.slice(1),
      preferred_username: accountId,
    }),
  }),
  // Nobody is asked whether the client may know what it asks for.
  async loadExistingGrant({ oidc }) {
    const grant = new oidc.provider.Grant({
      clientId: oidc.client.clientId,
      accountId: oidc.session.accountId,
    });
    grant.addOIDCScope('openid email profile');
    await grant.save();
    return grant;
  },
};

const FORM = `<!doctype html><title>Sign in</title>
<form method="post"><label>Name <input name="login" required></label> <button>Sign in</button></form>`;

const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, configuration);
  const answer = provider.callback();
  server.on('request', async (request, response) => {
    if (!request.url.startsWith('/interaction/')) {
      answer(request, response);
      return;
    }
    if (request.method !== 'POST') {
      response.setHeader('content-type', 'text/html');
      response.end(FORM);
      return;
    }
    let body = '';
    for await (const chunk of request) body += chunk;
    const accountId = new URLSearchParams(body).get('login');
    const result = { login: { accountId }, consent: {} };
    await provider.interactionFinished(request, response, result);
  });
  process.stdout.write(`${issuer}\n`);
});
process.stdin.on('end', () => process.exit()).resume();
