// An OpenID provider: oidc-provider with its own development sign-in pages.
//
// node openid_provider.mjs '{"redirect": "http://…/sign-in/back", "secret": "…", "accounts": {"lena": {…claims…}}}'
// prints one line, {"issuer"}. Somebody signs in with the name of an account and any password.
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const wanted = JSON.parse(process.argv[2]);
const http = createServer();
await new Promise((resolve) => http.listen(0, '127.0.0.1', resolve));
const issuer = `http://127.0.0.1:${http.address().port}`;

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: 'countersign',
      client_secret: wanted.secret,
      redirect_uris: [wanted.redirect],
      grant_types: ['authorization_code'],
      response_types: ['code'],
      require_auth_time: true,
    },
  ],
  pkce: { required: () => true },
  cookies: { keys: ['of a test'] },
  claims: { openid: ['sub'], profile: ['name'], email: ['email', 'email_verified'], groups: ['groups'] },
  conformIdTokenClaims: false,
  findAccount: (_ctx, id) => ({
    accountId: id,
    claims: () => ({ sub: id, ...wanted.accounts[id] }),
  }),
  features: { devInteractions: { enabled: true } },
});
http.on('request', provider.callback());
console.log(JSON.stringify({ issuer }));
