// An OAuth authorization server: oidc-provider, with the grant of RFC 8693 registered through its public interface.
//
// node authorization_server.mjs '{"subjectKeys": "http://…/.well-known/jwks.json", "clientKey": {…public JWK…}}'
// prints one line, {"issuer", "control"}. A POST to `control` of {"claims": {…}} puts those claims into every token from
// then on, {"format": "opaque"} makes tokens opaque, {"key": "other"} signs them with a key that is not published.
import { createServer } from 'node:http';
import { createRemoteJWKSet, exportJWK, generateKeyPair, jwtVerify, SignJWT } from 'jose';
import Provider, { errors } from 'oidc-provider';

const GRANT = 'urn:ietf:params:oauth:grant-type:token-exchange';
const JWT_TYPE = 'urn:ietf:params:oauth:token-type:jwt';
const ACCESS_TOKEN_TYPE = 'urn:ietf:params:oauth:token-type:access_token';
const LIFETIME_S = 60;
const RESOURCE = 'https://backoffice.example/';

const wanted = JSON.parse(process.argv[2]);
const control = { claims: {}, format: 'jwt', key: 'own' };

// The one service for which tokens are issued.
const service = () => ({
  scope: 'refunds:write refunds:read effects:read orders:read tickets:read tickets:write admin',
  audience: 'backoffice',
  accessTokenTTL: LIFETIME_S,
  accessTokenFormat: control.format,
  jwt: { sign: { alg: 'Ed25519' } },
});

const http = createServer();
await new Promise((resolve) => http.listen(0, '127.0.0.1', resolve));
const issuer = `http://127.0.0.1:${http.address().port}`;

const { privateKey } = await generateKeyPair('Ed25519', { extractable: true });
const stranger = await generateKeyPair('Ed25519');
const signingKey = { ...(await exportJWK(privateKey)), use: 'sig', alg: 'Ed25519' };
const subjectKeys = createRemoteJWKSet(new URL(wanted.subjectKeys), { cooldownDuration: 100 });

// What the assertion of a token states beyond what every token has.
const stated = new WeakMap();

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: 'countersign',
      grant_types: [GRANT],
      response_types: [],
      authorization_details_types: ['tool_call'],
      redirect_uris: [],
      id_token_signed_response_alg: 'Ed25519',
      token_endpoint_auth_method: 'private_key_jwt',
      token_endpoint_auth_signing_alg: 'Ed25519',
      jwks: { keys: [wanted.clientKey] },
    },
  ],
  jwks: { keys: [signingKey] },
  cookies: { keys: ['of a test'] },
  features: {
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => RESOURCE,
      getResourceServerInfo: () => service(),
    },
    richAuthorizationRequests: {
      enabled: true,
      types: {
        tool_call: {
          validate(_ctx, detail) {
            if (!/^[0-9a-f]{64}$/.test(detail.arguments_sha256) || detail.max_uses !== 1) {
              throw new errors.InvalidAuthorizationDetails('a tool_call has arguments_sha256 and max_uses 1');
            }
          },
        },
      },
      authorizationDetailsForAccessToken: (ctx) => JSON.parse(ctx.oidc.params.authorization_details),
      authorizationDetailsForGrantSource: (ctx) => JSON.parse(ctx.oidc.params.authorization_details),
      authorizationDetailsForIntrospection: (_ctx, token) => token.rar,
    },
  },
  extraTokenClaims: (_ctx, token) => stated.get(token),
  formats: {
    customizers: {
      jwt(_ctx, _token, jwt) {
        Object.assign(jwt.payload, control.claims);
      },
    },
  },
});

provider.registerGrantType(
  GRANT,
  async (ctx) => {
    const { params, client } = ctx.oidc;
    if (params.subject_token_type !== JWT_TYPE || params.requested_token_type !== ACCESS_TOKEN_TYPE) {
      throw new errors.InvalidRequest('a JWT is exchanged for an access token');
    }
    let subject;
    try {
      ({ payload: subject } = await jwtVerify(params.subject_token, subjectKeys, {
        issuer: 'countersign',
        audience: issuer,
        algorithms: ['Ed25519'],
        requiredClaims: ['sub', 'exp', 'jti', 'tenant', 'txn'],
      }));
    } catch (error) {
      throw new errors.InvalidGrant(`subject_token: ${error.code}`);
    }
    if (params.audience !== 'backoffice') throw new errors.InvalidTarget('there is no such audience');
    // The server grants what both the caller asked for and the assertion states, and nothing else.
    const scopes = new Set(subject.scope.split(' '));
    if (params.scope.split(' ').some((scope) => !scopes.has(scope))) throw new errors.InvalidScope('not stated');
    if (params.authorization_details !== JSON.stringify(sorted(subject.authorization_details))) {
      throw new errors.InvalidAuthorizationDetails('not those that the assertion states');
    }

    const now = Math.floor(Date.now() / 1000);
    const token = new provider.AccessToken({
      client,
      accountId: subject.sub,
      scope: params.scope,
      resourceServer: new provider.ResourceServer(RESOURCE, service()),
      gty: 'token_exchange',
      grantId: subject.jti,
      expiresIn: Math.min(LIFETIME_S, subject.exp - now),
      rar: JSON.parse(params.authorization_details),
    });
    const { tenant, txn, epoch, act, nbf } = subject;
    stated.set(token, { tenant, txn, epoch, act, nbf });
    let value = await token.save();
    if (control.key === 'other') value = await resigned(value);
    ctx.body = {
      access_token: value,
      issued_token_type: ACCESS_TOKEN_TYPE,
      token_type: 'Bearer',
      expires_in: token.expiration,
      scope: control.claims.scope ?? params.scope,
    };
  },
  [
    'subject_token',
    'subject_token_type',
    'requested_token_type',
    'audience',
    'resource',
    'scope',
    'authorization_details',
  ],
);

function sorted(value) {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.keys(value).sort().map((name) => [name, sorted(value[name])]));
}

async function resigned(token) {
  const [head, body] = token.split('.').map((part) => (part ? Buffer.from(part, 'base64url').toString() : ''));
  return new SignJWT(JSON.parse(body)).setProtectedHeader(JSON.parse(head)).sign(stranger.privateKey);
}

const levers = createServer((request, response) => {
  let body = '';
  request.on('data', (chunk) => { body += chunk; });
  request.on('end', () => {
    Object.assign(control, { claims: {}, format: 'jwt', key: 'own' }, JSON.parse(body || '{}'));
    response.writeHead(204).end();
  });
});
await new Promise((resolve) => levers.listen(0, '127.0.0.1', resolve));

for (const event of ['grant.error', 'server_error']) {
  provider.on(event, (_ctx, error) => console.error(event, error.error, error.error_description, error.error_detail));
}
http.on('request', provider.callback());
console.log(JSON.stringify({ issuer, control: `http://127.0.0.1:${levers.address().port}/` }));
