// What every SDK is asked to do, and how it says what came of it.
export const baseURL = process.env.SDK_BASE_URL;
export const key = process.env.SDK_KEY;
export const poorKey = process.env.SDK_POOR_KEY;
export const wrongKey = "sk-of-somebody-else";
export const model = "fast";
export const onceInvalid = "once-invalid";
export const refusing = "refusing";
export const cut = "cut";

export const prompt = (name) => `Write a recipe, ${process.env.SDK_NAME} ${name}.`;

export async function caught(call) {
  try {
    await call();
  } catch (error) {
    const last = error.lastError ?? error;
    const body = last.data?.error ?? last;
    return {
      class: last.constructor.name,
      status: last.status ?? last.statusCode ?? null,
      code: body.code ?? null,
      param: body.param ?? null,
    };
  }
  return { class: "nothing was raised" };
}

export const report = (cases) => console.log(JSON.stringify(cases));
