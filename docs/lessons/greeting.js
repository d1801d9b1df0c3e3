// The same in Node.

const http = require("node:http");

const CATALOGUE = "http://catalogue.sock-shop/catalogue/size";

http.createServer(async (request, response) => {
  try {
    const { size } = await (await fetch(CATALOGUE)).json();
    response.setHeader("content-type", "text/plain");
    response.end(`hello from Node: ${size} socks\n`);
  } catch (error) {
    response.statusCode = 502;
    response.end(`${error}\n`);
  }
}).listen(8000);
