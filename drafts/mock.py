import json, math, random, sys, time, os, hashlib, collections
from http.server import ThreadingHTTPServer, BaseHTTPRequestHandler
from urllib.parse import urlparse, parse_qs
ROOT = sys.argv[1]; PORT = int(sys.argv[2]); TOKEN = sys.argv[3] if len(sys.argv) > 3 else None
CSP = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
text = ("Once upon a time there was a small café by the sea, where an old sailor told stories — of storms, of whales, and of “the green light”.\n"
 "The children came each evening. Once he told them of a naïve young whale that lived in the sea near the green light.\n") * 3
data = text.encode()
N = 4
table = collections.defaultdict(collections.Counter)
for n in range(N + 1):
    for i in range(len(data) - n): table[data[i:i+n]][data[i+n]] += 1
def dist(ctx):
    p = collections.Counter()
    for n in range(0, N + 1):
        c = table.get(bytes(ctx[len(ctx)-n:] if n else b''))
        if c:
            t = sum(c.values())
            for k, v in c.items(): p[k] += 4**n * v / t
    t = sum(p.values()); return {k: v / t for k, v in p.items()}
def tt(b):
    try: return bytes(b).decode()
    except UnicodeDecodeError: return 'bytes:' + ''.join(f'\\x{x:02x}' for x in b)
states = {}
class H(BaseHTTPRequestHandler):
    def log_message(self, *a): pass
    def out(self, status, body, kind='application/json', extra={}):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status); self.send_header('Content-Type', kind); self.send_header('Content-Length', str(len(body)))
        if 'html' in kind or 'page' in self.path: self.send_header('Content-Security-Policy', CSP)
        self.send_header('x-request-id', 'abc-1')
        self.end_headers(); self.wfile.write(body)
    def err(self, status, message, param=None): self.out(status, {'error': {'message': message, 'type': 'x', 'param': param, 'code': None}})
    def ok(self):
        if TOKEN and self.headers.get('Authorization') != f'Bearer {TOKEN}': self.err(401, 'this server wants a bearer token'); return False
        return True
    def do_GET(self):
        u = urlparse(self.path)
        if u.path == '/' or u.path.startswith('/page/'):
            f = ROOT + ('/index.html' if u.path == '/' else '/' + os.path.basename(u.path))
            kind = {'html': 'text/html; charset=utf-8', 'css': 'text/css', 'js': 'text/javascript', 'svg': 'image/svg+xml'}[f.rsplit('.')[-1]]
            return self.out(200, open(f, 'rb').read(), kind)
        if not self.ok(): return
        if u.path == '/v1/models': return self.out(200, {'object': 'list', 'data': [{'id': n, 'vocab': 257, 'state_limit': 1234567} for n in ['tiny', 'llp-small']]})
        if u.path == '/v1/states':
            q = parse_qs(u.query); all = list(states.values())[::-1]; lim = int(q.get('limit', ['20'])[0])
            if 'after' in q: i = [s['id'] for s in all].index(q['after'][0]); all = all[i+1:]
            return self.out(200, {'object': 'list', 'data': all[:lim], 'first_id': None, 'last_id': all[:lim][-1]['id'] if all else None, 'has_more': len(all) > lim})
        self.err(404, 'there is nothing at this address')
    def do_DELETE(self):
        if not self.ok(): return
        id = self.path.split('/')[3]
        if id not in states: return self.err(404, 'there is no such state', 'id')
        del states[id]; self.out(200, {'id': id, 'deleted': True})
    def do_POST(self):
        b = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
        if not self.ok(): return
        p = self.path.split('/')[1:]
        if p == ['v1', 'tokenize']: ids = list(b['text'].encode()); return self.out(200, {'tokens': ids, 'count': len(ids)})
        if p[:2] == ['v1', 'states']:
            if len(p) == 2:
                base = states[b['state']]['_ids'] if b.get('state') else []
                return self.out(201, self.new(b['model'], base + list(b['prompt']), b.get('name')))
            s = states.get(p[2])
            if not s: return self.err(404, 'there is no such state', 'id')
            if len(p) == 4: return self.out(201, self.new(s['model'], s['_ids'], b.get('name')))
            s.update(b); return self.out(200, s)
        if p == ['v1', 'completions']:
            if b.get('temperature', 1) > 100: return self.err(400, 'temperature is 1000: 100 are allowed', 'temperature')
            ctx = (states[b['state']]['_ids'] if b.get('state') else []) + list(b['prompt'])
            rng = random.Random(b['seed'])
            self.send_response(200); self.send_header('Content-Type', 'text/event-stream'); self.end_headers()
            pos = 1 + len(ctx)
            for i in range(b['max_tokens']):
                d = dist(ctx); T = b.get('temperature', 1)
                order = sorted(d, key=lambda k: (-d[k], k))
                t = order[0] if T == 0 else rng.choices(order, [d[k] ** (1 / T) for k in order])[0]
                top = {tt([k]): math.log(d[k]) for k in order[:b['logprobs']]}
                ids = {tt([k]): k for k in order[:b['logprobs']]}
                ctx.append(t); pos += 1
                ch = {'text': '', 'index': 0, 'finish_reason': None, 'logprobs': {'tokens': [tt([t])], 'token_ids': [t], 'token_logprobs': [math.log(d[t])], 'top_logprobs': [top], 'top_token_ids': [ids], 'text_offset': [0]}}
                try: self.wfile.write(f'data: {json.dumps({"choices": [ch]})}\n\n'.encode()); self.wfile.flush()
                except OSError: return
                time.sleep(0.01)
            ch = {'text': '', 'index': 0, 'finish_reason': 'length', 'logprobs': None, 'position': pos, 'state_bytes': 345678}
            self.wfile.write(f'data: {json.dumps({"choices": [ch]})}\n\ndata: [DONE]\n\n'.encode())
            return
        self.err(404, 'nothing')
    def new(self, model, ids, name):
        id = 'state-' + hashlib.sha256(os.urandom(8)).hexdigest()[:22]
        s = {'object': 'state', 'id': id, 'model': model, 'name': name, 'position': len(ids) + 1, 'bytes': 345678, 'created': int(time.time()), 'used': int(time.time()), 'expires': int(time.time()) + 86400 * 7 + 5, 'pinned': False, '_ids': ids}
        states[id] = s; return s
ThreadingHTTPServer(('127.0.0.1', PORT), H).serve_forever()
