# SPDX-License-Identifier: Apache-2.0
"""SparsePromptIR in PyTorch, in the formulation of its reference: the thing to be faster than.

Names and order of operations follow the published Restormer / PromptIR code: layer norm on a
flattened copy, attention by views and normalised copies, prompts mixed before they are resized.
"""
import torch
import torch.nn as nn
import torch.nn.functional as F


class LayerNorm(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.body = nn.Module()
        self.body.weight = nn.Parameter(torch.ones(dim))
        self.body.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x):
        b, c, h, w = x.shape
        y = x.permute(0, 2, 3, 1).reshape(b, h * w, c)
        mu = y.mean(-1, keepdim=True)
        sigma = y.var(-1, keepdim=True, unbiased=False)
        y = (y - mu) / torch.sqrt(sigma + 1e-5) * self.body.weight + self.body.bias
        return y.reshape(b, h, w, c).permute(0, 3, 1, 2)


class Attention(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = nn.Conv2d(dim, dim * 3, 1, bias=False)
        self.qkv_dwconv = nn.Conv2d(dim * 3, dim * 3, 3, padding=1, groups=dim * 3, bias=False)
        self.project_out = nn.Conv2d(dim, dim, 1, bias=False)

    def forward(self, x):
        b, c, h, w = x.shape
        q, k, v = self.qkv_dwconv(self.qkv(x)).chunk(3, dim=1)
        q, k, v = (t.reshape(b, self.heads, c // self.heads, h * w) for t in (q, k, v))
        q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
        attn = ((q @ k.transpose(-2, -1)) * self.temperature).softmax(dim=-1)
        return self.project_out((attn @ v).reshape(b, c, h, w))


class FeedForward(nn.Module):
    def __init__(self, dim, expansion=2.66):
        super().__init__()
        hidden = int(dim * expansion)
        self.project_in = nn.Conv2d(dim, hidden * 2, 1, bias=False)
        self.dwconv = nn.Conv2d(hidden * 2, hidden * 2, 3, padding=1, groups=hidden * 2, bias=False)
        self.project_out = nn.Conv2d(hidden, dim, 1, bias=False)

    def forward(self, x):
        a, b = self.dwconv(self.project_in(x)).chunk(2, dim=1)
        return self.project_out(F.gelu(a) * b)


class TransformerBlock(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.norm1 = LayerNorm(dim)
        self.attn = Attention(dim, heads)
        self.norm2 = LayerNorm(dim)
        self.ffn = FeedForward(dim)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.ffn(self.norm2(x))


class Resample(nn.Module):
    def __init__(self, dim, out, shuffle):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(dim, out, 3, padding=1, bias=False), shuffle)

    def forward(self, x):
        return self.body(x)


def down(dim):
    return Resample(dim, dim // 2, nn.PixelUnshuffle(2))


def up(dim):
    return Resample(dim, dim * 2, nn.PixelShuffle(2))


class PromptGenBlock(nn.Module):
    def __init__(self, dim, size, inputs, prompts=5, experts=1):
        super().__init__()
        self.experts = experts
        self.prompt_param = nn.Parameter(torch.rand(1, prompts, dim, size, size))
        self.linear_layer = nn.Linear(inputs, prompts)
        self.conv3x3 = nn.Conv2d(dim, dim, 3, padding=1, bias=False)

    def forward(self, x):
        b, _, h, w = x.shape
        weights = F.softmax(self.linear_layer(x.mean(dim=(-2, -1))), dim=1)
        top = weights.topk(self.experts, dim=1).indices
        weights = weights * torch.zeros_like(weights).scatter(1, top, 1.0)
        prompt = (weights[:, :, None, None, None] * self.prompt_param).sum(dim=1)
        return self.conv3x3(F.interpolate(prompt, (h, w), mode="bilinear"))


class PatchEmbed(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.proj = nn.Conv2d(3, dim, 3, padding=1, bias=False)

    def forward(self, x):
        return self.proj(x)


class SparsePromptIR(nn.Module):
    def __init__(self, dim=48, blocks=(4, 6, 6, 8), refinement=4, heads=(1, 2, 4, 8)):
        super().__init__()

        def stack(n, d, h):
            return nn.Sequential(*(TransformerBlock(d, h) for _ in range(n)))

        self.patch_embed = PatchEmbed(dim)
        self.encoder_level1, self.down1_2 = stack(blocks[0], dim, heads[0]), down(dim)
        self.encoder_level2, self.down2_3 = stack(blocks[1], dim * 2, heads[1]), down(dim * 2)
        self.encoder_level3, self.down3_4 = stack(blocks[2], dim * 4, heads[2]), down(dim * 4)
        self.latent = stack(blocks[3], dim * 8, heads[3])
        self.prompt3 = PromptGenBlock(320, 16, dim * 8)
        self.noise_level3 = TransformerBlock(dim * 8 + 320, heads[2])
        self.reduce_noise_level3 = nn.Conv2d(dim * 8 + 320, dim * 4, 1, bias=False)
        self.up4_3 = up(dim * 4)
        self.reduce_chan_level3 = nn.Conv2d(dim * 6, dim * 4, 1, bias=False)
        self.decoder_level3 = stack(blocks[2], dim * 4, heads[2])
        self.prompt2 = PromptGenBlock(128, 32, dim * 4)
        self.noise_level2 = TransformerBlock(dim * 4 + 128, heads[2])
        self.reduce_noise_level2 = nn.Conv2d(dim * 4 + 128, dim * 4, 1, bias=False)
        self.up3_2 = up(dim * 4)
        self.reduce_chan_level2 = nn.Conv2d(dim * 4, dim * 2, 1, bias=False)
        self.decoder_level2 = stack(blocks[1], dim * 2, heads[1])
        self.prompt1 = PromptGenBlock(64, 64, dim * 2)
        self.noise_level1 = TransformerBlock(dim * 2 + 64, heads[2])
        self.reduce_noise_level1 = nn.Conv2d(dim * 2 + 64, dim * 2, 1, bias=False)
        self.up2_1 = up(dim * 2)
        self.decoder_level1 = stack(blocks[0], dim * 2, heads[0])
        self.refinement = stack(refinement, dim * 2, heads[0])
        self.output = nn.Conv2d(dim * 2, 3, 3, padding=1, bias=False)

    def forward(self, image):
        e1 = self.encoder_level1(self.patch_embed(image))
        e2 = self.encoder_level2(self.down1_2(e1))
        e3 = self.encoder_level3(self.down2_3(e2))
        x = self.latent(self.down3_4(e3))
        x = self.noise_level3(torch.cat([x, self.prompt3(x)], 1))
        x = self.up4_3(self.reduce_noise_level3(x))
        x = self.decoder_level3(self.reduce_chan_level3(torch.cat([x, e3], 1)))
        x = self.noise_level2(torch.cat([x, self.prompt2(x)], 1))
        x = self.up3_2(self.reduce_noise_level2(x))
        x = self.decoder_level2(self.reduce_chan_level2(torch.cat([x, e2], 1)))
        x = self.noise_level1(torch.cat([x, self.prompt1(x)], 1))
        x = self.up2_1(self.reduce_noise_level1(x))
        x = self.decoder_level1(torch.cat([x, e1], 1))
        return self.output(self.refinement(x)) + image
